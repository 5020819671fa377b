-- Returns the state that the last holder of a lease left, if any, and its age in seconds. Both are
-- times of this server's clock, so that the clocks of two holders are never compared.
--
-- KEYS[1]  the last holder's state: hash of "epoch", "state", and its time "at"

local state, at = unpack(redis.call('HMGET', KEYS[1], 'state', 'at'))
if not state then
  return {}
end
local now = redis.call('TIME')[1]
return {state, now - (at or now)}
