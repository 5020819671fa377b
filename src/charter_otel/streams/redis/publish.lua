-- Adds events that are not in the stream yet; a retried batch adds nothing twice.
--
-- KEYS[1]   the stream
-- KEYS[2]   hash "thing -> value": things that an event opened and none has closed yet
-- KEYS[3]   sorted set of things that were closed for a dead owner, by Unix seconds
-- KEYS[4..] hashes "event id -> entry id", one for each minute of the batch's event ids
-- ARGV[1]   maximum number of entries that the stream holds, approximately
-- ARGV[2]   seconds for which an event id is remembered after the hash was last touched
-- ARGV[3]   the batch in MessagePack, which both sides read faster than many arguments: for each
--           event the number of its hash in KEYS, event id, envelope, traceparent or "", and for
--           one of a pair "open", "close" or "lost", the thing, its value
--
-- Returns how many events were new.

-- Moves the register of open things, and returns whether the stream may have the event. pcall, here
-- and below: a key that cannot be used must not hold up the stream, rather twice than never.
local function moves(kind, thing, value)
  if kind == 'open' then
    redis.pcall('HSET', KEYS[2], thing, value)
  elseif kind == 'close' then
    if type(redis.pcall('ZSCORE', KEYS[3], thing)) == 'string' then
      return false
    end
    redis.pcall('HDEL', KEYS[2], thing)
  elseif kind == 'lost' then
    if redis.pcall('HDEL', KEYS[2], thing) == 0 then
      return false
    end
    redis.pcall('ZADD', KEYS[3], redis.call('TIME')[1], thing)
  end
  return true
end

local added = 0
for _, event in ipairs(cmsgpack.unpack(ARGV[3])) do
  local known, id, envelope, traceparent = KEYS[event[1]], event[2], event[3], event[4]
  if redis.pcall('HEXISTS', known, id) ~= 1 and moves(event[5], event[6], event[7]) then
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
for i = 4, #KEYS do
  redis.call('EXPIRE', KEYS[i], ARGV[2])
end
return added
