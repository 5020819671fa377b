-- Looks through some of the robots for those that are recorded as online, while the register lacks
-- their newest connection and its instance is gone: it died between two writes.
--
-- KEYS[1]  hash "connection -> instance, newline, details in JSON"
-- KEYS[2]  hash of the instances
-- KEYS[3]  sorted set of the instances that were declared lost, by the time of their last beat
-- KEYS[4]  hash "robot -> epoch, Unix seconds of accept@run, instance, connection"
-- KEYS[5]  hash "robot -> presence"
-- KEYS[6]  sorted set of the offline robots
-- ARGV[1]  cursor, 0 at first
-- ARGV[2]  about how many to look at
--
-- Returns the next cursor, 0 at the end, then for each: connection, robot, Unix seconds of its
-- accept, and the last beat of its instance, or "" if that one was not declared lost.

local page = redis.call('HSCAN', KEYS[4], ARGV[1], 'COUNT', ARGV[2])
local beats, found = {}, {page[1]}

local function online(robot)
  return redis.call('HEXISTS', KEYS[5], robot) == 1 and not redis.call('ZSCORE', KEYS[6], robot)
end

for i = 1, #page[2], 2 do
  local robot = page[2][i]
  local since, instance, connection =
    string.match(page[2][i + 1], '^%d+ ([^ @]+)%S* (%S+) (%S+)$')
  if instance and beats[instance] == nil then
    beats[instance] = redis.call('HEXISTS', KEYS[2], instance) ~= 1
      and (redis.call('ZSCORE', KEYS[3], instance) or '')
  end
  if instance and beats[instance] and redis.call('HEXISTS', KEYS[1], connection) == 0
    and online(robot) then
    found[#found + 1] = {connection, robot, since, beats[instance]}
  end
end
return found
