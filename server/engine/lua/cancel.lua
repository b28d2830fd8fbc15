-- cancel: waiting | delayed -> cancelled; an active job is marked, and ends when its worker has stopped it
--
-- KEYS     jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          cancelled  ZSET  job id -> end, ms
--          cancels    HASH  job id -> reason (JSON)
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  finished:cancelled:<task>
--          events     STREAM  news
-- ARGV     now, id, reason (JSON)
-- Returns  OK | JOB_NOT_FOUND | JOB_STATE, state
-- Keeps    repeated, it answers OK and keeps the first reason.
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include head
-- @include close

local now, id, reason = now_ms(ARGV[1]), ARGV[2], ARGV[3]
local record = redis.call('HGET', key.jobs, id)
if not record then return { 'JOB_NOT_FOUND' } end
if redis.call('ZSCORE', key.completed, id) then return { 'JOB_STATE', 'completed' } end
if redis.call('ZSCORE', key.failed, id) then return { 'JOB_STATE', 'failed' } end
if redis.call('ZSCORE', key.cancelled, id) then return { 'OK', 'cancelled' } end
if redis.call('ZSCORE', key.active, id) then
  redis.call('HSETNX', key.cancels, id, reason)
  return { 'OK', 'active' }
end

local job, book = head(record), new_book()
redis.call('ZREM', key.waiting, id)
redis.call('ZREM', key.delayed, id)
redis.call('HSET', key.outcomes, id, reason)
close(key, 'cancelled', now, id, job, book)
write_book(key, book)
return { 'OK', 'cancelled' }
