-- Counts the entries that were trimmed from the stream before a group had read them.
--
-- KEYS[1]  the stream
-- ARGV[1]  the group
-- ARGV[2]  the last entry that the group has read, or "": while the stream has it, none is missed
--
-- The server counts what a group has read; this is set to where the stream begins now, so that the
-- same entries are not counted twice, and the lag of the group is right again.
--
-- Returns how many were missed; 0 also if the server does not know (before Redis 7), or if this
-- user may not ask.

if ARGV[2] ~= '' and #redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2]) == 1 then
  return 0
end

local function fields(flat)
  local named = {}
  for i = 1, #flat, 2 do
    named[flat[i]] = flat[i + 1]
  end
  return named
end

local stream = fields(redis.pcall('XINFO', 'STREAM', KEYS[1]))
if not stream['entries-added'] then
  return 0
end
local removed = stream['entries-added'] - stream['length']
for _, flat in ipairs(redis.pcall('XINFO', 'GROUPS', KEYS[1])) do
  local group = fields(flat)
  local read = group['entries-read']
  if group['name'] == ARGV[1] and read and removed > read then
    redis.pcall('XGROUP', 'SETID', KEYS[1], ARGV[1], group['last-delivered-id'],
      'ENTRIESREAD', removed)
    return removed - read
  end
end
return 0
