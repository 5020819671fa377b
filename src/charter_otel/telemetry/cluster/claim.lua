-- Gives robots to the instance that accepted their newest connection.
--
-- KEYS[1]  hash "robot -> epoch, Unix seconds of accept@run of the server, instance, connection"
-- KEYS[2]  hash "robot -> epoch, newest reading"
-- ARGV[1]  the instance that claims
-- ARGV[2]  prefix of the keys of the instances' notices, in the hash tag of KEYS[1]
-- ARGV[3]  seconds for which notices are kept
-- ARGV[4]  claims in MessagePack: for each the robot, the connection, Unix seconds of its accept,
--          and the epoch that an earlier claim got, or ""
-- ARGV[5]  the run of the server by whose clock these are, or "" if that is not known
--
-- Times are those of one server's clock, and compared only with others of the same: after a
-- fail-over the next server's clock may be behind, and robots that come back would lose to
-- connections that ended long ago. Then epochs decide, of those that were claimed before; what was
-- not is newer. Epochs are the server's microseconds unless the last one is greater, so that they
-- grow even if all data here are lost.
--
-- Returns for each claim the epoch, or "" if a newer connection has the robot, and the newest
-- reading that another instance took, or "". Returns nothing if the instance has not noticed yet
-- that this is another server: it claims again after its next heartbeat.

-- A client without the right to ask gets "".
local told = redis.pcall('INFO', 'server')
local run = type(told) == 'string' and string.match(told, 'run_id:(%w+)') or ''
if ARGV[5] ~= '' and ARGV[5] ~= run then
  return {}
end

-- Returns whether the holder's connection is newer than the claimed one.
local function is_newer(epoch, since, accepted, earlier)
  if earlier ~= '' then
    return tonumber(epoch) > tonumber(earlier)
  end
  local seconds, of = string.match(since, '^([^@]*)@?(.*)$')
  return of == run and (tonumber(seconds) or 0) > accepted
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local epochs = {}
for i, claim in ipairs(cmsgpack.unpack(ARGV[4])) do
  local robot, connection, accepted, earlier = unpack(claim)
  local held = redis.call('HGET', KEYS[1], robot) or ''
  local epoch, since, instance, holder = string.match(held, '^(%d+) (%S+) (%S+) (%S+)$')
  if holder == connection then
    epochs[i] = {epoch, ''}
  elseif epoch and is_newer(epoch, since, accepted, earlier) then
    epochs[i] = {'', ''}
  else
    epoch = string.format('%.0f', math.max((tonumber(epoch) or 0) + 1, now * 1e6))
    redis.call('HSET', KEYS[1], robot,
      string.format('%s %.6f@%s %s %s', epoch, accepted, run, ARGV[1], connection))
    local told = instance ~= ARGV[1] and redis.call('HGET', KEYS[2], robot) or ''
    epochs[i] = {epoch, string.match(told, '^%d+ (.*)$') or ''}
    if holder and instance ~= ARGV[1] then
      redis.call('RPUSH', ARGV[2] .. instance, holder)
      redis.call('EXPIRE', ARGV[2] .. instance, ARGV[3])
    end
  end
end
return epochs
