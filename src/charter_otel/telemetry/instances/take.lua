-- Takes over connections of dead instances, each once: whoever gets one closes it.
--
-- KEYS[1]  hash "connection -> instance, newline, details in JSON"
-- KEYS[2]  hash of the instances
-- KEYS[3]  hash "robot -> epoch, Unix seconds of accept, instance, connection"
-- KEYS[4]  hash "robot -> presence"
-- ARGV[1]  the instance that takes over
-- ARGV[2]  connections in MessagePack: for each its id, its value as it was seen, its robot
--
-- The robot's epoch grows, so that an instance that only slept is not heard any more.
--
-- Returns for each: whether it was taken, then the epoch where it was the robot's newest connection
-- or "", and the robot's presence or "".

local taken = {}
for i, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, value, robot = unpack(entry)
  local instance, details = string.match(value, '^([^\n]*)(.*)$')
  taken[i] = {0, '', ''}
  if redis.call('HGET', KEYS[1], id) == value and redis.call('HEXISTS', KEYS[2], instance) == 0 then
    redis.call('HSET', KEYS[1], id, ARGV[1] .. details)
    local held = redis.call('HGET', KEYS[3], robot) or ''
    local epoch, since, _, holder = string.match(held, '^(%d+) (%S+) (%S+) (%S+)$')
    taken[i] = {1, '', redis.call('HGET', KEYS[4], robot) or ''}
    if holder == id then
      taken[i][2] = string.format('%.0f', epoch + 1)
      redis.call('HSET', KEYS[3], robot,
        string.format('%s %s %s %s', taken[i][2], since, ARGV[1], holder))
    end
  end
end
return taken
