-- Gives an instance the offline robots of instances that are gone, unless they have come back.
--
-- KEYS[1]  sorted set of the offline robots
-- KEYS[2]  hash of the instances
-- KEYS[3]  hash "robot -> epoch, Unix seconds of accept@run, instance, connection"
-- ARGV[1]  the instance that adopts
-- ARGV[2]  robots in MessagePack: for each its name and its last connection
--
-- The epoch grows, so that an instance that only slept changes nothing. A repeated request, after a
-- lost answer, gets the same answer.
--
-- Returns for each whether it is adopted.

local adopted = {}
for i, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
  local robot, connection = unpack(entry)
  local held = redis.call('HGET', KEYS[3], robot) or ''
  local epoch, since, instance, holder = string.match(held, '^(%d+) (%S+) (%S+) (%S+)$')
  local same = holder == connection and redis.call('ZSCORE', KEYS[1], robot)
  adopted[i] = same and instance == ARGV[1] and 1 or 0
  if same and redis.call('HEXISTS', KEYS[2], instance) == 0 then
    redis.call('HSET', KEYS[3], robot,
      string.format('%.0f %s %s %s', epoch + 1, since, ARGV[1], holder))
    adopted[i] = 1
  end
end
return adopted
