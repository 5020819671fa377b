-- Moves an entry that a group cannot handle to the dead letters, once, however often it is called.
--
-- KEYS[1]  the stream
-- KEYS[2]  the stream of dead letters
-- ARGV[1]  the group
-- ARGV[2]  the entry's id
-- ARGV[3]  maximum number of dead letters that are kept, approximately
-- ARGV[4..]  fields of the dead letter
--
-- Returns whether the entry was still pending.

local pending = redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if pending == 1 then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
end
return pending
