-- complete: active -> completed
--
-- KEYS     jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          cancels    HASH  job id -> reason
--          attempts   HASH  job id -> one line per attempt
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  finished:completed:<task>, attempts:completed:<task>, wait…, run…
--          events     STREAM  news
--          wake       ZSET  marker
-- ARGV     now, then for each job: id, token, started (ms after the reservation), result (JSON, '' none)
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
for i = 2, #ARGV, 4 do
  local id, token, started, result = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local lease = held(key, id, token)
  if not lease then
    reply[#reply + 1] = not_held(key, id, token, 'completed')
  else
    drop_lease(key, id)
    note_attempt(key, id, lease, lease.reserved + started, now, 'completed', 'null')
    if result ~= '' then redis.call('HSET', key.outcomes, id, result) end
    close(key, 'completed', now, id, lease, book)
    count_attempt(book, lease, lease.reserved + started, now, 'completed')
    reply[#reply + 1] = 'OK'
  end
end
write_book(key, book)
poke_if_any(key)
return reply
