-- Looks through some of the open connections for those whose instance is gone.
--
-- KEYS[1]  hash "connection -> instance, newline, details in JSON"
-- KEYS[2]  hash of the instances
-- KEYS[3]  sorted set of the instances that were declared lost, by the time of their last beat
-- ARGV[1]  cursor, 0 at first
-- ARGV[2]  about how many to look at
--
-- Returns the next cursor, 0 at the end, then for each: connection, value, and the last beat of its
-- instance, or "" if that one was not declared lost.

local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local beats, found = {}, {page[1]}
for i = 1, #page[2], 2 do
  local instance = string.match(page[2][i + 1], '^[^\n]*')
  if beats[instance] == nil then
    beats[instance] = redis.call('HEXISTS', KEYS[2], instance) ~= 1
      and (redis.call('ZSCORE', KEYS[3], instance) or '')
  end
  if beats[instance] then
    found[#found + 1] = {page[2][i], page[2][i + 1], beats[instance]}
  end
end
return found
