-- Tells how old the oldest entry is that a group has not acknowledged.
--
-- KEYS[1]  the stream
-- ARGV[1]  the group
-- ARGV[2]  the last entry that was given to the group
--
-- Returns milliseconds since the entry came, by this server's clock, which may have been set back;
-- 0 if there is none.

local oldest = redis.pcall('XPENDING', KEYS[1], ARGV[1])[2]
if not oldest then
  local unread = redis.call('XRANGE', KEYS[1], '(' .. ARGV[2], '+', 'COUNT', 1)[1]
  if not unread then
    return 0
  end
  oldest = unread[1]
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return math.max(0, now - tonumber(string.match(oldest, '^%d+')))
