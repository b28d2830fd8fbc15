-- release: active -> waiting | delayed: handed back, nothing charged
--
-- KEYS     waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          leases     HASH  job id -> lease
--          cancels    HASH  job id -> reason
--          cancelled  ZSET  job id -> end, ms
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  finished:cancelled:<task>
--          events     STREAM  news
--          wake       ZSET  marker
-- ARGV     now, then for each job: id, token, delay (ms; 0: back to the very place it had)
-- Returns  for each job: OK | LEASE_LOST
-- Keeps    a job that was asked to stop is cancelled here rather than lined up again.
--          Repeated, it answers LEASE_LOST and changes nothing.
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include lease
-- @include held
-- @include drop_lease
-- @include close
-- @include go_back
-- @include poke

local now = now_ms(ARGV[1])
local book, reply = new_book(), {}
for i = 2, #ARGV, 3 do
  local id, delay = ARGV[i], tonumber(ARGV[i + 2])
  local lease = held(key, id, ARGV[i + 1])
  if not lease then
    reply[#reply + 1] = 'LEASE_LOST'
  else
    go_back(key, now, id, lease, delay, book)
    reply[#reply + 1] = 'OK'
  end
end
write_book(key, book)
poke(key)
return reply
