-- Shares the state of robots with all instances. The state from an instance that lost a robot to a
-- newer connection is ignored, except for its last reading while the newer connection has none.
--
-- KEYS[1]  hash "robot -> presence"
-- KEYS[2]  hash "robot -> epoch of the connection that brought it, newest reading"
-- KEYS[3]  hash "robot -> epoch, Unix seconds of accept@run, instance, connection"
-- KEYS[4]  sorted set of the offline robots, by the time since when they are offline
-- ARGV[1]  greatest number of known robots; beyond it, the robot offline longest is removed
-- ARGV[2]  states in MessagePack: for each the robot, the epoch of its connection, presence,
--          reading or "", and Unix seconds since when it is offline, or ""
--
-- Returns how many were accepted.

local function is_newest(robot, epoch)
  local held = string.match(redis.call('HGET', KEYS[2], robot) or '', '^%d+')
  return not held or tonumber(held) <= tonumber(epoch)
end

local heard = 0
for _, state in ipairs(cmsgpack.unpack(ARGV[2])) do
  local robot, epoch, presence, reading, offline = unpack(state)
  local owned = string.match(redis.call('HGET', KEYS[3], robot) or '', '^%d+')
  if owned and reading ~= '' and is_newest(robot, epoch) then
    redis.call('HSET', KEYS[2], robot, epoch .. ' ' .. reading)
  end
  if owned == epoch then
    redis.call('HSET', KEYS[1], robot, presence)
    if offline == '' then
      redis.call('ZREM', KEYS[4], robot)
    else
      redis.call('ZADD', KEYS[4], offline, robot)
    end
    heard = heard + 1
  end
end
local excess = redis.call('HLEN', KEYS[1]) - ARGV[1]
if excess > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[4], math.min(excess, 1000))
  for i = 1, #gone, 2 do
    for key = 1, 3 do
      redis.call('HDEL', KEYS[key], gone[i])
    end
  end
end
return heard
