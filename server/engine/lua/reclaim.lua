-- reclaim: active -> waiting, where the lease has run out: its worker is dead, frozen or cut off
--
-- The first loss charges nobody: the job may never have started. From then on it is handed out alone and marks its
-- start, so each further loss is its own; with as many as are allowed it fails as POISON.
-- After a pause in which nobody swept (Redis was away, its clock jumped) the living get time to extend first.
--
-- KEYS     meta       HASH  swept: when this was done last, hold: not before, ms; seq
--          jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          failed     ZSET  job id -> end, ms
--          cancelled  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          cancels    HASH  job id -> reason
--          attempts   HASH  job id -> one line per attempt
--          spent      HASH  job id -> failures, lost, snoozes, since
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  attempts:lost:<task>, finished:<state>:<task>
--          events     STREAM  news
--          wake       ZSET  marker
-- ARGV     now, limit, losses allowed, gap (ms without a sweep that is suspicious), hold (ms)
-- Returns  OK | HOLD, then for each job that was taken back: id, WAITING | POISON | CANCELLED
-- Keeps    no lease without a job; the job goes back to the place it had.
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include head
-- @include rank
-- @include lease
-- @include drop_lease
-- @include note_attempt
-- @include spent
-- @include close
-- @include go_back
-- @include line_up
-- @include poke

local now, limit, allowed = now_ms(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local gap, hold = tonumber(ARGV[4]), tonumber(ARGV[5])

local memory = redis.call('HMGET', key.meta, 'swept', 'hold')
local swept, held_until = tonumber(memory[1] or now), tonumber(memory[2] or 0)
redis.call('HSET', key.meta, 'swept', now)
if now - swept > gap or now < swept then
  redis.call('HSET', key.meta, 'hold', now + hold)
  return { 'HOLD' }
end
if now < held_until and held_until - now <= hold then return { 'HOLD' } end

local book, reply = new_book(), { 'OK' }
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key.active, '-inf', now, 'LIMIT', 0, limit)) do
  local text = redis.call('HGET', key.leases, id)
  local lease = text and read_lease(text)
  if not lease then
    -- Somebody deleted the lease by hand: its place is not known any more, only its band.
    local record = redis.call('HGET', key.jobs, id)
    drop_lease(key, id)
    count(book, 'orphaned')
    if record then
      local job = head(record)
      line_up(key, now, { { id, job.band, job.task } }, book)
      reply[#reply + 1] = id
      reply[#reply + 1] = 'WAITING'
    end
  else
    local spent = read_spent(redis.call('HGET', key.spent, id))
    local charged = lease.started > 0 or spent.lost == 0
    if charged then
      local started = lease.started > 0 and lease.started or lease.reserved
      spent.lost = spent.lost + 1
      write_spent(key, id, spent)
      note_attempt(key, id, lease, started, now, 'lost', 'null')
      count(book, 'attempts:lost:' .. lease.task)
    end
    reply[#reply + 1] = id
    if spent.lost >= allowed then
      drop_lease(key, id)
      redis.call('HSET', key.outcomes, id, string.format(
        '{"reason":"POISON","message":"its worker was lost %d times while it had this job"}', spent.lost))
      close(key, 'failed', now, id, lease, book)
      reply[#reply + 1] = 'POISON'
    else
      go_back(key, now, id, lease, 0, book)
      reply[#reply + 1] = redis.call('ZSCORE', key.waiting, id) and 'WAITING' or 'CANCELLED'
    end
  end
end
write_book(key, book)
if #reply > 1 then poke(key) end
return reply
