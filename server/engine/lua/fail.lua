-- fail: active -> failed: no attempt is left, or none would help
--
-- KEYS     jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          active     ZSET  job id -> lease end, ms
--          failed     ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          cancels    HASH  job id -> reason
--          attempts   HASH  job id -> one line per attempt
--          spent      HASH  job id -> failures, lost, snoozes, since
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  finished:failed:<task>, attempts:<outcome>:<task>, wait…, run…
--          events     STREAM  news
--          wake       ZSET  marker
-- ARGV     now, then for each job: id, token, started (ms after the reservation), failure (JSON), outcome (failed|timed_out),
--          error (JSON)
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
-- @include spent
-- @include close
-- @include poke
-- @include poke_if_any

local now = now_ms(ARGV[1])
local book, reply = new_book(), {}
for i = 2, #ARGV, 6 do
  local id, token, started, failure = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local outcome, err = ARGV[i + 4], ARGV[i + 5]
  local lease = held(key, id, token)
  if not lease then
    reply[#reply + 1] = not_held(key, id, token, outcome)
  else
    local spent = read_spent(redis.call('HGET', key.spent, id))
    spent.failures = spent.failures + 1
    drop_lease(key, id)
    note_attempt(key, id, lease, lease.reserved + started, now, outcome, err)
    write_spent(key, id, spent)
    redis.call('HSET', key.outcomes, id, failure)
    close(key, 'failed', now, id, lease, book)
    count_attempt(book, lease, lease.reserved + started, now, outcome)
    reply[#reply + 1] = 'OK'
  end
end
write_book(key, book)
poke_if_any(key)
return reply
