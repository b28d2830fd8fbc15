-- hasten: delayed -> waiting, before it is due: an operator wants it so, or what it waits for has come
--
-- KEYS     meta       HASH  seq
--          jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          cancelled  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          totals     HASH  nothing is counted
--          events     STREAM  news
--          wake       ZSET  marker
-- ARGV     now, id, 1 to mark an active job, so that its attempt does not put it off
-- Returns  OK, state | JOB_NOT_FOUND, '' | JOB_STATE, state
-- Keeps    repeated, it changes nothing, and answers OK unless the job has started or ended meanwhile.
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include head
-- @include lease
-- @include state_of
-- @include rank
-- @include line_up
-- @include poke

local now, id = now_ms(ARGV[1]), ARGV[2]
local state, record = state_of(key, id), redis.call('HGET', key.jobs, id)
if not state or not record then return { 'JOB_NOT_FOUND', '' } end
if state == 'waiting' then return { 'OK', state } end
if state == 'active' and ARGV[3] == '1' then
  local lease = read_lease(redis.call('HGET', key.leases, id))
  lease.signalled = true
  redis.call('HSET', key.leases, id, lease_text(lease))
  return { 'OK', state }
end
if state ~= 'delayed' then return { 'JOB_STATE', state } end

local job, book = head(record), new_book()
redis.call('ZREM', key.delayed, id)
line_up(key, now, { { id, job.band, job.task } }, book)
write_book(key, book)
poke(key)
return { 'OK', 'waiting' }
