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
local ids = {}
for i = 4, #ARGV do ids[i - 3] = ARGV[i] end
local records, spents = redis.call('HMGET', key.jobs, unpack(ids)), redis.call('HMGET', key.spent, unpack(ids))
local back, reply, going, claimed = {}, {}, {}, {}

-- Why the job stays as it is, and more about it; nil when it can go back.
local function refusal(id, job, spent)
  if not job then return 'JOB_NOT_FOUND', '' end
  -- Before its state: it may have failed again meanwhile.
  if spent.mark == mark or going[id] then return 'OK', '' end
  if not redis.call('ZSCORE', key.failed, id) then return 'JOB_STATE', state_of(key, id) or 'gone' end
  if job.secret then return 'SECRETS_ERASED', '' end
  local holder = job.unique ~= '-' and (claimed[job.unique] or claimed_by(key, now, job.unique))
  if holder and holder ~= id then return 'UNIQUE_CONFLICT', holder end
end

for i, id in ipairs(ids) do
  local job, spent = records[i] and head(records[i]), read_spent(spents[i])
  local word, detail = refusal(id, job, spent)
  if not word then
    going[id], claimed[job.unique] = true, id
    back[#back + 1] = { id, job.band, job.task, job = job, record = records[i], retries = spent.retries + 1 }
  end
  reply[#reply + 1] = word or 'OK'
  reply[#reply + 1] = detail or ''
end
if dry or #back == 0 then return reply end

-- From here on nothing is refused. `spent` comes first: Redis 6.2 refuses by the first write, and only by one that may
-- need memory.
local book, anew, going_ids = new_book(), {}, {}
for i, each in ipairs(back) do
  going_ids[i] = each[1]
  anew[2 * i - 1] = each[1]
  anew[2 * i] = spent_text({ failures = 0, lost = 0, snoozes = 0, since = 0, retries = each.retries, mark = mark })
end
redis.call('HSET', key.spent, unpack(anew))
redis.call('ZREM', key.failed, unpack(going_ids))
redis.call('ZREM', key.kept, unpack(going_ids))
redis.call('HDEL', key.outcomes, unpack(going_ids))
for _, each in ipairs(back) do
  local id, job = each[1], each.job
  if job.expires > now then
    redis.call('ZADD', key.expiring, job.expires, id)
  elseif job.expires > 0 then
    job.expires = 0
    redis.call('HSET', key.jobs, id, head_text(job) .. string.match(each.record, '\n(.*)$'))
  end
  if job.unique ~= '-' and not claimed_by(key, now, job.unique) then
    redis.call('HSET', key.claims, job.unique, id .. ' 0 -')
    redis.call('ZREM', key.claims_until, job.unique)
  end
  count(book, 'retried:' .. job.task)
end
line_up(key, now, back, book)
write_book(key, book)
poke(key)
return reply
