-- Takes over connections of dead instances, each once: the instance that gets one closes it.
--
-- KEYS[1]  hash "connection -> instance, newline, details in JSON"
-- KEYS[2]  hash of the instances
-- KEYS[3]  hash "robot -> epoch, Unix seconds of accept@run, instance, connection"
-- KEYS[4]  hash "robot -> presence"
-- ARGV[1]  the instance that takes over
-- ARGV[2]  connections in MessagePack: for each its id, its value as it was seen or "" if it had
--          none, its robot
--
-- The robot's epoch grows, so that the state from an instance that only slept is ignored. A
-- repeated request, after a lost answer, gets the same answer.
--
-- Returns for each: whether it was taken, then the epoch if it was the robot's newest connection
-- or "", and the robot's presence or "".

local function dead(instance)
  return redis.call('HEXISTS', KEYS[2], instance) == 0
end

-- Returns whether the register lets the connection be taken, and records its new owner.
local function takes(id, value, newest, instance)
  local now = redis.call('HGET', KEYS[1], id) or ''
  if value == '' then
    return now == '' and newest and (instance == ARGV[1] or dead(instance))
  end
  local owner, details = string.match(value, '^([^\n]*)(.*)$')
  if now == value and dead(owner) then
    now = ARGV[1] .. details
    redis.call('HSET', KEYS[1], id, now)
  end
  return now == ARGV[1] .. details
end

local taken = {}
for i, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, value, robot = unpack(entry)
  local held = redis.call('HGET', KEYS[3], robot) or ''
  local epoch, since, instance, holder = string.match(held, '^(%d+) (%S+) (%S+) (%S+)$')
  local newest = holder == id
  taken[i] = {0, '', ''}
  if takes(id, value, newest, instance) then
    if newest and instance ~= ARGV[1] then
      epoch = string.format('%.0f', epoch + 1)
      redis.call('HSET', KEYS[3], robot,
        string.format('%s %s %s %s', epoch, since, ARGV[1], holder))
    end
    taken[i] = {1, newest and epoch or '', redis.call('HGET', KEYS[4], robot) or ''}
  end
end
return taken
