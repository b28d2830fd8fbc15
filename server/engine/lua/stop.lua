-- stop: active -> cancelled: the worker has stopped the job, as cancel asked it to
--
-- KEYS     jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          active     ZSET  job id -> lease end, ms
--          cancelled  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          cancels    HASH  job id -> reason (JSON)
--          attempts   HASH  job id -> one line per attempt
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  finished:cancelled:<task>, attempts:cancelled:<task>, wait…, run…
--          events     STREAM  news
--          wake       ZSET  marker
-- ARGV     now, then for each job: id, token, started (ms after the reservation, '' when it never started)
-- Returns  for each job: OK | LEASE_LOST | JOB_NOT_FOUND
-- Keeps    only the newest token settles a job; repeated, it answers OK and changes nothing.
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include rank
-- @include timing
-- @include lease
-- @include held
-- @include settled_by
-- @include not_held
-- @include drop_lease
-- @include note_attempt
-- @include close
-- @include poke
-- @include poke_if_any

local now = now_ms(ARGV[1])
local book, reply = new_book(), {}
for i = 2, #ARGV, 3 do
  local id, token, started = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local lease = held(key, id, token)
  if not lease then
    -- A job that never started leaves no attempt to be recognised by.
    reply[#reply + 1] = redis.call('ZSCORE', key.cancelled, id) and 'OK' or not_held(key, id, token, 'cancelled')
  else
    local reason = redis.call('HGET', key.cancels, id)
    drop_lease(key, id)
    if started ~= '' then
      note_attempt(key, id, lease, lease.reserved + tonumber(started), now, 'cancelled', 'null')
      count_attempt(book, lease, lease.reserved + tonumber(started), now, 'cancelled')
    end
    redis.call('HSET', key.outcomes, id, reason or '""')
    close(key, 'cancelled', now, id, lease, book)
    reply[#reply + 1] = 'OK'
  end
end
write_book(key, book)
poke_if_any(key)
return reply
