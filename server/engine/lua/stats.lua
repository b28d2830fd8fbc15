-- stats: how the queue is doing
--
-- Walks the active jobs, which are bounded, and the heads of the bands of the line, at most 201.
--
-- KEYS     meta       HASH  paused, paused_until, pause_reason; what operators set
--          waiting    ZSET  job id -> rank
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          delayed    ZSET  job id -> due, ms
--          cancelled  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          workers    ZSET  worker -> last seen, ms
--          totals     HASH  what was counted -> number
-- ARGV     now, silence (ms) after which a worker counts as gone
-- Returns  now, stalled, age of the oldest waiting (ms, -1 none), of the oldest active (ms, -1 none), workers,
--          {waiting, active, completed, failed, delayed, cancelled}, meta, totals
-- Memory   not needed: it only looks
-- @include now_ms
-- @include lease
-- @include rank

local now = now_ms(ARGV[1])

local function age(since)
  return since and math.max(0, now - since) or -1
end

local function oldest_waiting()
  local oldest, from = nil, '-inf'
  while true do
    local first = redis.call('ZRANGEBYSCORE', key.waiting, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not first[2] then return oldest end
    local rank = tonumber(first[2])
    oldest = math.min(oldest or now, lined_up_at(rank))
    from = string.format('%.0f', (band_of(rank) + 1) * band_size)
  end
end

local function oldest_active()
  local oldest
  for _, text in ipairs(redis.call('HVALS', key.leases)) do
    local lease = read_lease(text)
    oldest = math.min(oldest or now, lease.started > 0 and lease.started or lease.reserved)
  end
  return oldest
end

local counts = {}
for n, state in ipairs({ 'waiting', 'active', 'completed', 'failed', 'delayed', 'cancelled' }) do
  counts[n] = redis.call('ZCARD', key[state])
end
return {
  now, redis.call('ZCOUNT', key.active, '-inf', now), age(oldest_waiting()), age(oldest_active()),
  redis.call('ZCOUNT', key.workers, now - tonumber(ARGV[2]), '+inf'), counts, redis.call('HGETALL', key.meta),
  redis.call('HGETALL', key.totals),
}
