-- extend: active stays active: the worker is alive and has these jobs
--
-- Tells which of them have started, and learns which it has lost, which it shall stop, and which it shall hand back
-- because the queue is paused.
--
-- KEYS     meta     HASH  paused, paused_until
--          active   ZSET  job id -> lease end, ms
--          leases   HASH  job id -> lease
--          cancels  HASH  job id -> reason
--          wake     ZSET  marker
-- ARGV     now, lease (ms), then for each job: id, token, started (ms after the reservation, '' not started)
-- Returns  for each job that needs attention: id, LEASE_LOST | CANCEL | PAUSED (not known to have started before this call:
--          it shall not, if it has not begun)
-- Keeps    a lease that was lost is not revived.
-- Memory   allowed when it is full
-- @include now_ms
-- @include lease
-- @include held
-- @include poke
-- @include paused

local now, lease_ms = now_ms(ARGV[1]), tonumber(ARGV[2])
local stopping, pausing = redis.call('EXISTS', key.cancels) == 1, paused(key, now)
local reply = {}
for i = 3, #ARGV, 3 do
  local id, started = ARGV[i], ARGV[i + 2]
  local lease = held(key, id, ARGV[i + 1])
  if not lease then
    reply[#reply + 1] = id
    reply[#reply + 1] = 'LEASE_LOST'
  else
    redis.call('ZADD', key.active, 'XX', now + lease_ms, id)
    local known = lease.started > 0
    if started ~= '' and not known then
      lease.started = lease.reserved + tonumber(started)
      redis.call('HSET', key.leases, id, lease_text(lease))
    end
    if stopping and redis.call('HEXISTS', key.cancels, id) == 1 then
      reply[#reply + 1] = id
      reply[#reply + 1] = 'CANCEL'
    elseif pausing and not known then
      reply[#reply + 1] = id
      reply[#reply + 1] = 'PAUSED'
    end
  end
end
return reply
