-- enqueue: -> waiting | delayed
--
-- All or nothing: one job that is refused leaves the queue as it was.
--
-- KEYS     meta          HASH  seq: the last place given out in the line
--          jobs          HASH  job id -> record
--          waiting       ZSET  job id -> rank
--          delayed       ZSET  job id -> due, ms
--          active        ZSET  job id -> lease end, ms
--          secrets       HASH  job id -> payload, where the record holds it masked
--          claims        HASH  claim -> job id, end in ms or 0, fingerprint or -
--          claims_until  ZSET  claim -> end, ms
--          expiring      ZSET  job id -> last moment to start, ms
--          totals        HASH  enqueued:<task>
--          events        STREAM  news
--          wake          ZSET  marker that waiting workers block on
-- ARGV     now, then for each job: id, task, band, delay (ms, 0 none), run_at (ms, 0 none), expires (ms, 0 never),
--          keep (ms, 0 as the queue), body, secret payload ('' none), idempotency claim ('' none), its end after now (ms),
--          fingerprint, unique claim ('' none), unique for (ms, 0 while the job lives), on conflict (return|refuse|replace)
-- Returns  OK, now, then for each job: CREATED | EXISTS | REPLACED, id, due (ms, 0 when waiting)
--        | JOB_EXISTS | IDEMPOTENCY_KEY_REUSED | UNIQUE_CONFLICT, index of the job from 0, id of the one in the way
-- Keeps    one job per id, per idempotency claim and per unique claim, also within one call; repeated, it answers alike.
-- Memory   refused when it is full
-- @include now_ms
-- @include book
-- @include head
-- @include live
-- @include claimed_by
-- @include rank
-- @include line_up
-- @include poke

local now = now_ms(ARGV[1])
local width = 15
local jobs, by_id, by_claim, newest = {}, {}, {}, {}

local function found(word, job, id, due)
  job.word, job.answer, job.due = word, id, due or 0
end

-- Whether this very request replaced what stands there: then it is sent again.
local function replaced_by(id, job)
  local record = job.on_conflict == 'replace' and redis.call('HGET', key.jobs, id)
  return record and head(record).by == job.id .. ':' .. job.fingerprint
end

for i = 2, #ARGV, width do
  local job = {
    id = ARGV[i], task = ARGV[i + 1], band = tonumber(ARGV[i + 2]), delay = tonumber(ARGV[i + 3]),
    run_at = tonumber(ARGV[i + 4]), expires = ARGV[i + 5], keep = ARGV[i + 6], body = ARGV[i + 7],
    secret = ARGV[i + 8], idempotency = ARGV[i + 9], idempotent_for = tonumber(ARGV[i + 10]),
    fingerprint = ARGV[i + 11], unique = ARGV[i + 12], unique_for = tonumber(ARGV[i + 13]), on_conflict = ARGV[i + 14],
  }
  local index = #jobs
  jobs[index + 1] = job
  job.due = job.run_at > 0 and job.run_at or now + job.delay
  if job.due <= now then job.due = 0 end

  -- The same idempotency key, whoever asked first.
  if job.idempotency ~= '' then
    local id, fingerprint = claimed_by(key, now, job.idempotency)
    local twin = by_claim[job.idempotency]
    if twin then id, fingerprint = twin.answer or twin.id, twin.fingerprint end
    if id and fingerprint ~= job.fingerprint then return { 'IDEMPOTENCY_KEY_REUSED', index, id } end
    if id then
      job.claimed = true
      found('EXISTS', job, id)
      if replaced_by(id, job) then newest[id] = job end
    end
  end

  -- The same job id: a repetition, or another job's.
  if not job.word then
    local twin, record = by_id[job.id], redis.call('HGET', key.jobs, job.id)
    local fingerprint = twin and twin.fingerprint or (record and head(record).fingerprint)
    if fingerprint and fingerprint ~= job.fingerprint then return { 'JOB_EXISTS', index, job.id } end
    if fingerprint then found('EXISTS', job, twin and twin.answer or job.id) end
  end

  -- The same unique key.
  if not job.word and job.unique ~= '' then
    local id = by_claim[job.unique] and by_claim[job.unique].id or claimed_by(key, now, job.unique)
    if id and job.on_conflict == 'refuse' then return { 'UNIQUE_CONFLICT', index, id } end
    if id and job.on_conflict == 'return' then found('EXISTS', job, id) end
    if id and job.on_conflict == 'replace' then
      local replaceable = by_id[id] and not by_id[id].word or redis.call('ZSCORE', key.waiting, id)
        or redis.call('ZSCORE', key.delayed, id) or replaced_by(id, job)
      if not replaceable then return { 'UNIQUE_CONFLICT', index, id } end
      found('REPLACED', job, id, job.due)
      newest[id] = job
    end
  end

  by_id[job.id] = by_id[job.id] or job
  if job.idempotency ~= '' then by_claim[job.idempotency] = job end
  if job.unique ~= '' and not job.word then by_claim[job.unique] = job end
end

-- From here on nothing is refused.
local book, fresh = new_book(), {}
local idle, sooner = redis.call('ZCARD', key.waiting) == 0, false
local soonest = redis.call('ZRANGE', key.delayed, 0, 0, 'WITHSCORES')[2]

local function write(id, job, created, fingerprint, by)
  local first = head_text({
    task = job.task, band = job.band, created = created, expires = tonumber(job.expires), keep = tonumber(job.keep),
    unique = job.unique == '' and '-' or job.unique, secret = job.secret ~= '', fingerprint = fingerprint, by = by,
  })
  redis.call('HSET', key.jobs, id, first .. job.body)
  if job.secret ~= '' then redis.call('HSET', key.secrets, id, job.secret) end
  if job.expires ~= '0' then redis.call('ZADD', key.expiring, job.expires, id) end
end

local function place(id, job)
  if job.due == 0 then
    fresh[#fresh + 1] = { id, job.band, job.task }
  else
    redis.call('ZADD', key.delayed, job.due, id)
    tell(book, 'delayed', job.task, id)
  end
end

local function claim(name, id, lasts, fingerprint)
  redis.call('HSET', key.claims, name, string.format('%s %.0f %s', id, lasts > 0 and now + lasts or 0, fingerprint))
  if lasts > 0 then
    redis.call('ZADD', key.claims_until, now + lasts, name)
  else
    redis.call('ZREM', key.claims_until, name)
  end
end

-- The job keeps its id, its age and, unless another start or priority was asked for, its place.
local function replace(id, job)
  local record, delayed = redis.call('HGET', key.jobs, id), redis.call('ZSCORE', key.delayed, id)
  local old = record and head(record) or { created = now, band = job.band, fingerprint = job.fingerprint }
  redis.call('HDEL', key.secrets, id)
  redis.call('ZREM', key.expiring, id)
  write(id, job, old.created, old.fingerprint, job.id .. ':' .. job.fingerprint)
  if job.delay > 0 or job.run_at > 0 or (not delayed and job.band ~= old.band) then
    redis.call('ZREM', key.waiting, id)
    redis.call('ZREM', key.delayed, id)
    for n, other in ipairs(fresh) do
      if other[1] == id then table.remove(fresh, n) end
    end
    place(id, job)
  end
end

for _, job in ipairs(jobs) do
  if not job.word then
    found('CREATED', job, job.id, job.due)
    write(job.id, job, now, job.fingerprint, '-')
    place(job.id, job)
    if job.unique ~= '' then claim(job.unique, job.id, job.unique_for, '-') end
    count(book, 'enqueued:' .. job.task)
  elseif newest[job.answer] == job and not replaced_by(job.answer, job) then
    replace(job.answer, job)
  end
  if job.idempotency ~= '' and not job.claimed then
    claim(job.idempotency, job.answer, job.idempotent_for, job.fingerprint)
  end
end

local reply = { 'OK', now }
for _, job in ipairs(jobs) do
  if job.word == 'REPLACED' then job.due = tonumber(redis.call('ZSCORE', key.delayed, job.answer) or 0) end
  if job.due > 0 and (not soonest or job.due < tonumber(soonest)) then sooner = true end
  reply[#reply + 1] = job.word
  reply[#reply + 1] = job.answer
  reply[#reply + 1] = job.due
end
line_up(key, now, fresh, book)
write_book(key, book)
if sooner or (idle and #fresh > 0) then poke(key) end
return reply
