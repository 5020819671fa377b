-- Delivers a dead letter again, to the group that gave it up and to no other.
--
-- KEYS[1]  the stream
-- KEYS[2]  the stream of dead letters
-- ARGV[1]  the dead letter's id
-- ARGV[2]  milliseconds for which the entry counts as idle, so that a consumer takes it over
--
-- Returns "replayed", or why not: "unknown", "trimmed" (the stream no longer holds the event),
-- "no group".

local letter = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])[1]
if not letter then
  return 'unknown'
end
local fields = {}
for i = 1, #letter[2], 2 do
  fields[letter[2][i]] = letter[2][i + 1]
end
local entry = fields['entry']
if #redis.call('XRANGE', KEYS[1], entry, entry) == 0 then
  return 'trimmed'
end
local claimed = redis.pcall('XCLAIM', KEYS[1], fields['group'], 'dead-letters', 0, entry,
  'IDLE', ARGV[2], 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
if claimed.err then
  return 'no group'
end
redis.call('XDEL', KEYS[2], ARGV[1])
return 'replayed'
