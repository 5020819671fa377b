-- Deletes a group's consumers that are long gone and left nothing behind.
--
-- KEYS[1]  the stream
-- ARGV[1]  the group
-- ARGV[2]  milliseconds without a heartbeat
--
-- DELCONSUMER would destroy pending entries, hence the check within one script.
-- Returns how many were deleted.

local deleted = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do
    consumer[info[i]] = info[i + 1]
  end
  if consumer.pending == 0 and consumer.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    deleted = deleted + 1
  end
end
return deleted
