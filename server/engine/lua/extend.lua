-- extend: active stays active: the worker is alive and has these jobs
--
-- Tells which of them have started, and learns which it has lost and which it shall stop.
--
-- KEYS     active   ZSET  job id -> lease end, ms
--          leases   HASH  job id -> lease
--          cancels  HASH  job id -> reason
-- ARGV     now, lease (ms), then for each job: id, token, started (ms after the reservation, '' not started)
-- Returns  for each job that needs attention: id, LEASE_LOST | CANCEL
-- Keeps    a lease that was lost is not revived.
-- Memory   allowed when it is full
-- @include now_ms
-- @include lease
-- @include held

local now, lease_ms = now_ms(ARGV[1]), tonumber(ARGV[2])
local stopping = redis.call('EXISTS', key.cancels) == 1
local reply = {}
for i = 3, #ARGV, 3 do
  local id, started = ARGV[i], ARGV[i + 2]
  local lease = held(key, id, ARGV[i + 1])
  if not lease then
    reply[#reply + 1] = id
    reply[#reply + 1] = 'LEASE_LOST'
  else
    redis.call('ZADD', key.active, 'XX', now + lease_ms, id)
    if started ~= '' and lease.started == 0 then
      lease.started = lease.reserved + tonumber(started)
      redis.call('HSET', key.leases, id, lease_text(lease))
    end
    if stopping and redis.call('HEXISTS', key.cancels, id) == 1 then
      reply[#reply + 1] = id
      reply[#reply + 1] = 'CANCEL'
    end
  end
end
return reply
