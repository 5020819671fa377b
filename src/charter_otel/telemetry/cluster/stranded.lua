-- Looks through some of the offline robots for those whose last instance is gone.
--
-- KEYS[1]  sorted set of the offline robots, by the time since when they are offline
-- KEYS[2]  hash of the instances
-- KEYS[3]  hash "robot -> epoch, Unix seconds of accept@run, instance, connection"
-- KEYS[4]  hash "robot -> presence"
-- ARGV[1]  cursor, 0 at first
-- ARGV[2]  about how many to look at
-- ARGV[3]  seconds after which an offline robot is not missed any more
--
-- Returns the next cursor, 0 at the end, then for each: robot, presence, and its last connection.

local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local oldest = redis.call('TIME')[1] - ARGV[3]
local dead, found = {}, {page[1]}
for i = 1, #page[2], 2 do
  local robot = page[2][i]
  local held = tonumber(page[2][i + 1]) >= oldest and redis.call('HGET', KEYS[3], robot) or ''
  local instance, holder = string.match(held, '^%d+ %S+ (%S+) (%S+)$')
  if instance and dead[instance] == nil then
    dead[instance] = redis.call('HEXISTS', KEYS[2], instance) == 0
  end
  if instance and dead[instance] then
    found[#found + 1] = {robot, redis.call('HGET', KEYS[4], robot) or '', holder}
  end
end
return found
