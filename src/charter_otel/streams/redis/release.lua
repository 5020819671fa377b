-- Gives back the entries of a consumer that stops, so that the next one need not wait for them.
--
-- KEYS[1]  the stream
-- ARGV[1]  the group
-- ARGV[2]  the consumer that stops
-- ARGV[3]  milliseconds after which others claim an entry
-- ARGV[4..]  entries whose handler never began: their delivery does not count
--
-- Returns how many entries are left behind; a consumer that leaves none is deleted.

local fresh = {}
for i = 4, #ARGV do
  fresh[ARGV[i]] = true
end
local left = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])
for _, pending in ipairs(left) do
  local id, deliveries = pending[1], pending[4]
  if fresh[id] then
    deliveries = 0
  end
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id,
    'IDLE', ARGV[3], 'RETRYCOUNT', deliveries, 'JUSTID')
end
if #left == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return #left
