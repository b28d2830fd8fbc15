-- counts: how many jobs stand where
--
-- KEYS     meta       HASH  paused
--          waiting    ZSET  job id -> rank
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          delayed    ZSET  job id -> due, ms
--          cancelled  ZSET  job id -> end, ms
-- ARGV     now (unused)
-- Returns  waiting, active, completed, failed, delayed, cancelled, 1 when paused
-- Memory   allowed when it is full

local reply = {}
for n, state in ipairs({ 'waiting', 'active', 'completed', 'failed', 'delayed', 'cancelled' }) do
  reply[n] = redis.call('ZCARD', key[state])
end
reply[7] = redis.call('HEXISTS', key.meta, 'paused')
return reply
