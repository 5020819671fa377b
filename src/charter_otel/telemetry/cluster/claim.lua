-- Gives robots to the instance that accepted their newest connection.
--
-- KEYS[1]  hash "robot -> epoch, Unix seconds of accept, instance, connection"
-- KEYS[2]  hash "robot -> epoch, newest reading"
-- ARGV[1]  the instance that claims
-- ARGV[2]  prefix of the keys of the instances' notices, in the hash tag of KEYS[1]
-- ARGV[3]  seconds for which notices are kept
-- ARGV[4]  claims in MessagePack: for each the robot, the connection, Unix seconds of its accept
--
-- Times are those of this server's clock. Epochs are its microseconds unless the last one is
-- greater, so that they grow even if all data here are lost.
--
-- Returns for each claim the epoch, or "" if a newer connection has the robot, and the newest
-- reading that another instance took, or "".

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local epochs = {}
for i, claim in ipairs(cmsgpack.unpack(ARGV[4])) do
  local robot, connection, accepted = claim[1], claim[2], claim[3]
  local held = redis.call('HGET', KEYS[1], robot) or ''
  local epoch, since, instance, holder = string.match(held, '^(%d+) (%S+) (%S+) (%S+)$')
  if holder == connection then
    epochs[i] = {epoch, ''}
  elseif epoch and tonumber(since) > accepted then
    epochs[i] = {'', ''}
  else
    epoch = string.format('%.0f', math.max((tonumber(epoch) or 0) + 1, now * 1e6))
    redis.call('HSET', KEYS[1], robot,
      string.format('%s %.6f %s %s', epoch, accepted, ARGV[1], connection))
    local told = instance ~= ARGV[1] and redis.call('HGET', KEYS[2], robot) or ''
    epochs[i] = {epoch, string.match(told, '^%d+ (.*)$') or ''}
    if holder and instance ~= ARGV[1] then
      redis.call('RPUSH', ARGV[2] .. instance, holder)
      redis.call('EXPIRE', ARGV[2] .. instance, ARGV[3])
    end
  end
end
return epochs
