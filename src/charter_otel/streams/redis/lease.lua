-- Takes or renews a lease.
--
-- KEYS[1]  the lease: "epoch holder", for as long as it is good
-- KEYS[2]  what the last holder left: hash of "epoch" and "state"
-- ARGV[1]  who asks
-- ARGV[2]  milliseconds for which the lease is good
--
-- Epochs grow from holder to holder, also where the data here were lost: they are this server's
-- microseconds, where the last one does not forbid it.
--
-- Returns the epoch, or "" where somebody else holds the lease.

local held = redis.call('GET', KEYS[1])
if held then
  local epoch, holder = string.match(held, '^(%d+) (.*)$')
  if holder ~= ARGV[1] then
    return ''
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return epoch
end
local time = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[2], 'epoch') or 0) or 0
local epoch = string.format('%.0f', math.max(last + 1, time[1] * 1e6 + time[2]))
redis.call('SET', KEYS[1], epoch .. ' ' .. ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], 'epoch', epoch)
return epoch
