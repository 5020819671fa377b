-- Claims entries that a group's consumer has left unacknowledged for some time.
--
-- KEYS[1]  the stream
-- ARGV[1]  the group
-- ARGV[2]  the consumer that claims
-- ARGV[3]  milliseconds for which an entry must have been idle
-- ARGV[4]  maximum number of entries to claim
-- ARGV[5]  the consumer whose entries to claim, or "" for any consumer's
--
-- Delivery counts stay as they are: an entry counts as delivered when its handler begins, not when
-- it is moved in bulk. An entry that was trimmed from the stream can never be delivered; it is
-- acknowledged here, or it would stay pending for ever (Redis 6.2 keeps it, 7 drops it by itself).
--
-- Returns the number of trimmed entries, then for each entry: id, deliveries so far, its fields.

local query = {'XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', ARGV[4]}
if ARGV[5] ~= '' then
  query[#query + 1] = ARGV[5]
end
local claimed = {0}
for _, pending in ipairs(redis.call(unpack(query))) do
  local id = pending[1]
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
    claimed[#claimed + 1] = {id, pending[4], entry[2]}
  else
    redis.call('XACK', KEYS[1], ARGV[1], id)
    claimed[1] = claimed[1] + 1
  end
end
return claimed
