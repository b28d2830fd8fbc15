-- standing: what decides when one job runs
--
-- KEYS     meta       HASH  paused, paused_until, pause_reason; what operators set
--          jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          delayed    ZSET  job id -> due, ms
--          cancelled  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          starts     ZSET  reservations within the rate limit's period -> ms
--          workers    ZSET  worker -> last seen, ms
--          crew       HASH  worker -> what it says of itself (JSON)
-- ARGV     now, id, silence (ms) after which a worker counts as gone, rate period (ms) where no operator has set another
-- Returns  nothing when the job is not known, or now, task, state, its score there, jobs before it in the line, active jobs,
--          starts within the period, the oldest of them ('' none), meta, and the workers as crew tells them
-- Memory   not needed: it only looks
-- @include now_ms
-- @include head
-- @include state_of
-- @include workers_seen

local now, id = now_ms(ARGV[1]), ARGV[2]
local record = redis.call('HGET', key.jobs, id)
local state, score = state_of(key, id)
if not record or not state then return {} end
local since = '(' .. string.format('%.0f', now - (redis.call('HGET', key.meta, 'rate_ms') or ARGV[4]))
return {
  now, head(record).task, state, score, redis.call('ZRANK', key.waiting, id) or 0, redis.call('ZCARD', key.active),
  redis.call('ZCOUNT', key.starts, since, '+inf'),
  redis.call('ZRANGEBYSCORE', key.starts, since, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or '',
  redis.call('HGETALL', key.meta), workers_seen(key, now - tonumber(ARGV[3])),
}
