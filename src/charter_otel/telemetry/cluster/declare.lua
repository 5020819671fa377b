-- Declares an instance lost, unless it has sent a heartbeat meanwhile.
--
-- KEYS[1]  hash "instance -> beats, Unix seconds of the last"
-- KEYS[2]  sorted set of the instances that were declared lost, by the time of their last beat
-- ARGV[1]  the instance
-- ARGV[2]  its last heartbeat, as it was seen
-- ARGV[3]  seconds for which a lost instance or connection is remembered
-- KEYS[3]  sorted set of the connections that were closed for a dead instance, by time
--
-- Returns whether it is declared lost.

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
local forgotten = '(' .. redis.call('TIME')[1] - ARGV[3]
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', forgotten)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', forgotten)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], string.match(ARGV[2], '%S+$'), ARGV[1])
return 1
