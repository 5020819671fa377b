-- Returns a reader's next place: where it was, or the beginning of a stream that began anew.
--
-- A Redis that lost its data, or another one at the same address, may number its entries from a
-- clock that is behind: a reader that waits for entries after its old place would wait for ever.
--
-- KEYS[1]  the stream
-- ARGV[1]  the last entry that the reader has seen
--
-- Returns where to go on: ARGV[1], or "0-0" if the stream neither has that entry nor begins
-- after it, as a trimmed one does.

local at = ARGV[1]

local function parts(id)
  local time, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(time), tonumber(sequence)
end

local function after(id, other)
  local time, sequence = parts(id)
  local other_time, other_sequence = parts(other)
  return time > other_time or (time == other_time and sequence > other_sequence)
end

if #redis.call('XRANGE', KEYS[1], at, at) == 1 then
  return at
end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if first and after(first[1], at) then
  return at
end
return '0-0'
