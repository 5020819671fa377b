-- Gives a page of entries, and where it ends.
-- KEYS: the stream of entries, the hash of cursor and aggregates
-- ARGV: the id after which to begin, empty for the stored cursor; how many entries at most
-- Returns the version of cursor and aggregates, the last entry's id, then each entry's data,
-- or nil for an entry without.

local missions, aggregates = KEYS[1], KEYS[2]
local stored = redis.call('HMGET', aggregates, 'version', 'cursor')
local after = ARGV[1] ~= '' and ARGV[1] or stored[2] or '0-0'
local page = { stored[1] or '', after }

for _, entry in ipairs(redis.call('XRANGE', missions, '(' .. after, '+', 'COUNT', ARGV[2])) do
  local fields, data = entry[2], false
  for i = 1, #fields, 2 do
    if fields[i] == 'data' then
      data = fields[i + 1]
    end
  end
  page[2] = entry[1]
  page[#page + 1] = data
end
return page
