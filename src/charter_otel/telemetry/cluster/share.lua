-- Tells the state of robots to all instances; who lost a robot to a newer connection is not heard.
--
-- KEYS[1]  hash "robot -> presence"
-- KEYS[2]  hash "robot -> last reading"
-- KEYS[3]  hash "robot -> epoch, Unix seconds of accept, instance, connection"
-- KEYS[4]  sorted set of the offline robots, by the time since when they are
-- ARGV[1]  robots that are known at most; beyond it the one that has been offline longest goes
-- ARGV[2]  states in MessagePack: for each the robot, the epoch of its connection, presence,
--          reading or "", and Unix seconds since when it is offline, or ""
--
-- Returns how many were heard.

local heard = 0
for _, state in ipairs(cmsgpack.unpack(ARGV[2])) do
  local robot, epoch, presence, reading, offline = unpack(state)
  if string.match(redis.call('HGET', KEYS[3], robot) or '', '^%d+') == epoch then
    redis.call('HSET', KEYS[1], robot, presence)
    if reading ~= '' then
      redis.call('HSET', KEYS[2], robot, reading)
    end
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
