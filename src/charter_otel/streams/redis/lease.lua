-- Takes or renews a lease.
--
-- KEYS[1]  the lease: "epoch holder", for as long as it is valid
-- KEYS[2]  the last holder's state: hash of "epoch" and "state"
-- ARGV[1]  the caller
-- ARGV[2]  milliseconds for which the lease is valid
--
-- Epochs grow from holder to holder, even after a loss of these data: an epoch is this server's
-- time in microseconds, or the last epoch plus one if that is larger.
--
-- Returns the epoch, or "" if another holder has the lease.

local held = redis.call('GET', KEYS[1])
if held then
  local epoch, holder = string.match(held, '^(%d+) (.*)$')
  if holder ~= ARGV[1] then
    -- A lease without an expiry, written by hand or restored, would keep it for ever.
    if redis.call('PTTL', KEYS[1]) < 0 then
      redis.call('PEXPIRE', KEYS[1], ARGV[2])
    end
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
