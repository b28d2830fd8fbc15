-- revive: failed -> waiting: an operator gives a job all its attempts anew
--
-- It keeps its record and the attempts on it, and stands at the end of its band. What secrets it had are gone, so one that
-- had any cannot run again.
--
-- KEYS     meta          HASH  seq
--          jobs          HASH  job id -> record
--          waiting       ZSET  job id -> rank
--          delayed       ZSET  job id -> due, ms
--          active        ZSET  job id -> lease end, ms
--          completed     ZSET  job id -> end, ms
--          failed        ZSET  job id -> end, ms
--          cancelled     ZSET  job id -> end, ms
--          spent         HASH  job id -> failures, lost, snoozes, since, retries, mark
--          outcomes      HASH  job id -> JSON
--          kept          ZSET  job id -> end of its own retention, ms
--          expiring      ZSET  job id -> last moment to start, ms
--          claims        HASH  claim -> job id, end, fingerprint
--          claims_until  ZSET  claim -> end, ms
--          totals        HASH  retried:<task>
--          events        STREAM  news
--          wake          ZSET  marker
-- ARGV     now, mark of this retry, 1 only to tell what would happen, then ids
-- Returns  for each job: OK, '' | JOB_NOT_FOUND, '' | JOB_STATE, state | SECRETS_ERASED, '' | UNIQUE_CONFLICT, id of the other
-- Keeps    one living job per unique claim. Repeated with the same mark, it answers OK and changes nothing.
-- Memory   refused when it is full
-- @include now_ms
-- @include book
-- @include head
-- @include spent
-- @include live
-- @include claimed_by
-- @include state_of
-- @include rank
-- @include line_up
-- @include poke

local now, mark, dry = now_ms(ARGV[1]), ARGV[2], ARGV[3] == '1'
local book, back, reply, claimed = new_book(), {}, {}, {}

-- Why the job stays as it is, and more about it; nil when it can go back.
local function refusal(id, record, spent)
  if not record then return 'JOB_NOT_FOUND', '' end
  -- Before its state: it may have failed again meanwhile.
  if spent.mark == mark then return 'OK', '' end
  local state = state_of(key, id)
  if state ~= 'failed' then return 'JOB_STATE', state or 'gone' end
  local job = head(record)
  if job.secret then return 'SECRETS_ERASED', '' end
  local holder = job.unique ~= '-' and (claimed[job.unique] or claimed_by(key, now, job.unique))
  if holder and holder ~= id then return 'UNIQUE_CONFLICT', holder end
end

local function go_on(id, record, spent)
  local job = head(record)
  -- First of all: Redis 6.2 refuses by the first write, and only by one that may need memory.
  write_spent(key, id, { failures = 0, lost = 0, snoozes = 0, since = 0, retries = spent.retries + 1, mark = mark })
  if job.expires > 0 and job.expires <= now then
    job.expires = 0
    redis.call('HSET', key.jobs, id, head_text(job) .. string.match(record, '\n(.*)$'))
  end
  redis.call('ZREM', key.failed, id)
  redis.call('ZREM', key.kept, id)
  redis.call('HDEL', key.outcomes, id)
  if job.expires > 0 then redis.call('ZADD', key.expiring, job.expires, id) end
  if job.unique ~= '-' and not claimed_by(key, now, job.unique) then
    redis.call('HSET', key.claims, job.unique, id .. ' 0 -')
    redis.call('ZREM', key.claims_until, job.unique)
  end
  count(book, 'retried:' .. job.task)
  back[#back + 1] = { id, job.band, job.task }
end

for i = 4, #ARGV do
  local id = ARGV[i]
  local record, spent = redis.call('HGET', key.jobs, id), read_spent(redis.call('HGET', key.spent, id))
  local word, detail = refusal(id, record, spent)
  if not word then
    if not dry then go_on(id, record, spent) end
    claimed[head(record).unique] = id
  end
  reply[#reply + 1] = word or 'OK'
  reply[#reply + 1] = detail or ''
end
line_up(key, now, back, book)
write_book(key, book)
if #back > 0 then poke(key) end
return reply
