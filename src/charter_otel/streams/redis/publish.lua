-- Adds events that are not in the stream yet; a retried batch adds nothing twice.
--
-- KEYS[1]   the stream
-- KEYS[2..] hashes "event id -> entry id", one for each minute of the batch's event ids
-- ARGV[1]   entries that the stream holds at most, approximately
-- ARGV[2]   seconds for which an event id is remembered after the hash was last touched
-- ARGV[3]   the batch in MessagePack, which both sides read faster than many arguments: for each
--           event the number of its hash in KEYS, event id, envelope, traceparent or ""
--
-- Returns how many were new.

local added = 0
for _, event in ipairs(cmsgpack.unpack(ARGV[3])) do
  local known, id, envelope, traceparent = KEYS[event[1]], event[2], event[3], event[4]
  -- pcall: a hash that cannot be used must not hold up the stream, rather twice than never
  if redis.pcall('HEXISTS', known, id) ~= 1 then
    local entry
    if traceparent == '' then
      entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'event', envelope)
    else
      entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
        'event', envelope, 'traceparent', traceparent)
    end
    redis.pcall('HSET', known, id, entry)
    added = added + 1
  end
end
for i = 2, #KEYS do
  redis.call('EXPIRE', KEYS[i], ARGV[2])
end
return added
