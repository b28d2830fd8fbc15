-- snooze: active -> delayed: not yet, and the job is not to blame: no attempt is spent; -> waiting when it was signalled
-- meanwhile
--
-- KEYS     jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          cancelled  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          cancels    HASH  job id -> reason (JSON)
--          attempts   HASH  job id -> one line per attempt
--          spent      HASH  job id -> failures, lost, snoozes, since
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  attempts:snoozed:<task>, finished:cancelled:<task>, wait…, run…
--          events     STREAM  news
--          wake       ZSET  marker
-- ARGV     now, then for each job: id, token, started (ms after the reservation), delay (ms), reason (JSON)
-- Returns  for each job: OK | LEASE_LOST | JOB_NOT_FOUND
-- Keeps    only the newest token settles a job; repeated, it answers OK and counts no second snooze.
--          A job that was asked to stop is cancelled here rather than put off.
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
-- @include spent
-- @include close
-- @include go_back
-- @include poke

local now = now_ms(ARGV[1])
local book, reply = new_book(), {}
for i = 2, #ARGV, 5 do
  local id, token, started, delay = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local lease = held(key, id, token)
  if not lease then
    reply[#reply + 1] = not_held(key, id, token, 'snoozed')
  else
    local spent = read_spent(redis.call('HGET', key.spent, id))
    spent.snoozes = spent.snoozes + 1
    if spent.since == 0 then spent.since = now end
    note_attempt(key, id, lease, lease.reserved + started, now, 'snoozed', ARGV[i + 4])
    write_spent(key, id, spent)
    go_back(key, now, id, lease, math.max(delay, 1), book)
    count_attempt(book, lease, lease.reserved + started, now, 'snoozed')
    reply[#reply + 1] = 'OK'
  end
end
write_book(key, book)
poke(key)
return reply
