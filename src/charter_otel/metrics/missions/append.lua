-- Adds mission entries, all or none; refuses when too many wait for the job.
-- KEYS: the stream of entries, the hash of cursor and aggregates
-- ARGV: capacity, a MessagePack array of the entries' JSON
-- Returns 1, or 0 where there is no room.

local missions, aggregates = KEYS[1], KEYS[2]
local entries = cmsgpack.unpack(ARGV[2])
local room = tonumber(ARGV[1]) - #entries

if redis.call('XLEN', missions) > room then
  -- What is counted already is kept for an hour only as long as there is room.
  local cursor = redis.call('HGET', aggregates, 'cursor')
  if cursor then
    redis.call('XTRIM', missions, 'MINID', '~', cursor, 'LIMIT', 0)
  end
  if redis.call('XLEN', missions) > room then
    return 0
  end
end

for _, entry in ipairs(entries) do
  redis.call('XADD', missions, '*', 'data', entry)
end
return 1
