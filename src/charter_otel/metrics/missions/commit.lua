-- Moves the cursor and the aggregates together, unless another run has moved them.
-- KEYS: the stream of entries, the hash of cursor and aggregates
-- ARGV: the version read, the version to write, the new cursor, the id before which counted
--       entries go, a MessagePack array of the hash's changed fields, each before its value
-- Returns 1, or 0 where another run was first.

local missions, aggregates = KEYS[1], KEYS[2]
local version = redis.call('HGET', aggregates, 'version') or ''

if version == ARGV[2] then
  return 1 -- the same commit again: its first reply was lost
end
if version ~= ARGV[1] then
  return 0
end

local changes = cmsgpack.unpack(ARGV[5])
for i = 1, #changes, 1000 do -- Lua's stack bounds the arguments of a call
  redis.call('HSET', aggregates, unpack(changes, i, math.min(i + 999, #changes)))
end
redis.call('HSET', aggregates, 'version', ARGV[2], 'cursor', ARGV[3])
redis.call('XTRIM', missions, 'MINID', '~', ARGV[4])
return 1
