-- Leaves a state to the next holder of a lease, or gives the lease up.
--
-- KEYS[1]  the lease: "epoch holder"
-- KEYS[2]  what the last holder left: hash of "epoch" and "state"
-- ARGV[1]  who asks
-- ARGV[2]  its epoch
-- ARGV[3]  the state; without it the lease is given up
--
-- Returns whether who asks holds the lease.

if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then
  return 0
end
if ARGV[3] then
  redis.call('HSET', KEYS[2], 'state', ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return 1
