-- Records an instance's heartbeat, unless it was declared lost.
--
-- KEYS[1]  hash "instance -> beats, Unix seconds of the last"
-- KEYS[2]  sorted set of the instances that were declared lost
-- ARGV[1]  the instance
--
-- Returns "lost"; or "renewed", or "joined" if it was not known, then the id of the server's run,
-- its time in Unix seconds, then all instances with their beats.

if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return {'lost'}
end
local time = redis.call('TIME')
local now = string.format('%s.%06d', time[1], tonumber(time[2]))
local last = redis.call('HGET', KEYS[1], ARGV[1])
local beats = (last and tonumber(string.match(last, '^%d+')) or 0) + 1
redis.call('HSET', KEYS[1], ARGV[1],
  string.format('%.0f %s', beats, now))
-- A client without the right to ask gets "".
local told = redis.pcall('INFO', 'server')
local run = type(told) == 'string' and string.match(told, 'run_id:(%w+)') or ''
return {last and 'renewed' or 'joined', run, now, unpack(redis.call('HGETALL', KEYS[1]))}
