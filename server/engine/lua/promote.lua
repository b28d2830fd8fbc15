-- promote: delayed -> waiting, for everything that is due; waiting | delayed -> failed, for everything that has expired
--
-- reserve promotes too: this one is for queues that nobody reserves from. It also ends a pause that is over.
--
-- KEYS     meta      HASH  seq; the flags of a pause
--          jobs      HASH  job id -> record
--          waiting   ZSET  job id -> rank
--          delayed   ZSET  job id -> due, ms
--          failed    ZSET  job id -> end, ms
--          outcomes  HASH  job id -> JSON
--          secrets   HASH  job id -> payload
--          kept      ZSET  job id -> end of its own retention, ms
--          expiring  ZSET  job id -> last moment to start, ms
--          claims    HASH  claim -> job id, end, fingerprint
--          totals    HASH  finished:failed:<task>
--          events    STREAM  news
--          wake      ZSET  marker
-- ARGV     now, limit
-- Returns  how many were lined up, how many had expired
-- Keeps    an active job is left alone: it has started.
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include head
-- @include rank
-- @include poke
-- @include paused
-- @include close
-- @include line_up
-- @include promote_due
-- @include end_expired

local now, limit = now_ms(ARGV[1]), tonumber(ARGV[2])
local book, expired = new_book(), 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key.expiring, '-inf', now, 'LIMIT', 0, limit)) do
  redis.call('ZREM', key.expiring, id)
  local record = redis.call('HGET', key.jobs, id)
  local there = redis.call('ZREM', key.waiting, id) + redis.call('ZREM', key.delayed, id)
  if record and there > 0 then
    end_expired(key, now, id, head(record), book)
    expired = expired + 1
  end
end
local promoted = promote_due(key, now, limit, book)
write_book(key, book)
paused(key, now)
if promoted > 0 then poke(key) end
return { promoted, expired }
