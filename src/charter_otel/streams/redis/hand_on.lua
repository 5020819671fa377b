-- Leaves a state for the next holder of a lease, or gives the lease up.
--
-- KEYS[1]  the lease: "epoch holder"
-- KEYS[2]  the last holder's state: hash of "epoch", "state", and its time "at"
-- ARGV[1]  the caller
-- ARGV[2]  its epoch
-- ARGV[3]  the state; without it the lease is given up
--
-- Returns whether the caller holds the lease.

if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then
  return 0
end
if ARGV[3] then
  redis.call('HSET', KEYS[2], 'state', ARGV[3], 'at', redis.call('TIME')[1])
else
  redis.call('DEL', KEYS[1])
end
return 1
