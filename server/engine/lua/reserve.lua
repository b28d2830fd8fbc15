-- reserve: waiting -> active
--
-- Promotes what is due first. A job whose lease was lost before is handed out alone, so that a worker that dies of it
-- takes no neighbour along; a job past its expiry fails here instead of starting.
--
-- KEYS     meta          HASH  seq; the flags of a pause; concurrency, rate_count, rate_ms where an operator set them
--          jobs          HASH  job id -> record
--          waiting       ZSET  job id -> rank
--          delayed       ZSET  job id -> due, ms
--          active        ZSET  job id -> lease end, ms
--          leases        HASH  job id -> lease
--          spent         HASH  job id -> failures, lost, snoozes, since
--          secrets       HASH  job id -> payload, where the record holds it masked
--          outcomes      HASH  job id -> JSON
--          failed        ZSET  job id -> end, ms
--          kept          ZSET  job id -> end of its own retention, ms
--          expiring      ZSET  job id -> last moment to start, ms
--          claims        HASH  claim -> job id, end, fingerprint
--          totals        HASH  finished:failed:<task>
--          events        STREAM  news
--          starts        ZSET  reservations within the rate limit's period -> ms
--          workers       ZSET  worker -> last seen, ms
--          reservations  HASH  worker -> n of its last reservation, then the job ids
--          wake          ZSET  marker
-- ARGV     now, worker, n (rises with every new call of this worker), want, lease (ms),
--          concurrency (0 no limit), rate count (0 no limit), rate period (ms)
-- Returns  OK | PAUSED | LIMIT | EMPTY, now, ms until it is worth asking again without being woken (0 unknown),
--          then for each job: id, record, secret payload ('' none), lease, spent ('' none)
-- Keeps    active never passes the concurrency limit, starts never pass the rate limit in any period.
--          Repeated with the same n it answers with the same jobs and takes none.
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include head
-- @include lease
-- @include spent
-- @include rank
-- @include poke
-- @include paused
-- @include close
-- @include line_up
-- @include promote_due
-- @include end_expired

local now = now_ms(ARGV[1])
local worker, n, want, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local token = worker .. ':' .. n

local function hand_out(ids)
  local reply = { 'OK', now, 0 }
  local records, leases = redis.call('HMGET', key.jobs, unpack(ids)), redis.call('HMGET', key.leases, unpack(ids))
  local secrets, spents = redis.call('HMGET', key.secrets, unpack(ids)), redis.call('HMGET', key.spent, unpack(ids))
  for i, id in ipairs(ids) do
    if leases[i] and string.sub(leases[i], 1, #token + 1) == token .. ' ' then
      reply[#reply + 1] = id
      reply[#reply + 1] = records[i]
      reply[#reply + 1] = secrets[i] or ''
      reply[#reply + 1] = leases[i]
      reply[#reply + 1] = spents[i] or ''
    end
  end
  return reply
end

local last = redis.call('HGET', key.reservations, worker)
if last and string.match(last, '^%S+') == n then
  local ids = {}
  for id in string.gmatch(last, ' (%S+)') do ids[#ids + 1] = id end
  return hand_out(ids)
end

local book = new_book()
redis.call('ZADD', key.workers, now, worker)
promote_due(key, now, 64, book)
write_book(key, book)

local function next_due()
  local due = redis.call('ZRANGE', key.delayed, 0, 0, 'WITHSCORES')[2]
  return due and math.max(1, tonumber(due) - now) or 0
end

local is_paused, resumes = paused(key, now)
if is_paused then return { 'PAUSED', now, resumes > 0 and resumes - now or 0 } end
local rules = redis.call('HMGET', key.meta, 'concurrency', 'rate_count', 'rate_ms')
local concurrency, rate_count, rate_ms =
  tonumber(rules[1] or ARGV[6]), tonumber(rules[2] or ARGV[7]), tonumber(rules[3] or ARGV[8])
local room = math.min(want, redis.call('ZCARD', key.waiting))
if room == 0 then return { 'EMPTY', now, next_due() } end
if concurrency > 0 then room = math.min(room, concurrency - redis.call('ZCARD', key.active)) end
if room <= 0 then return { 'LIMIT', now, next_due() } end
if rate_count > 0 then
  redis.call('ZREMRANGEBYSCORE', key.starts, '-inf', now - rate_ms)
  room = math.min(room, rate_count - redis.call('ZCARD', key.starts))
  if room <= 0 then
    local oldest = redis.call('ZRANGE', key.starts, 0, 0, 'WITHSCORES')[2]
    return { 'LIMIT', now, math.max(1, tonumber(oldest) + rate_ms - now) }
  end
end

local line = redis.call('ZRANGE', key.waiting, 0, room - 1, 'WITHSCORES')
local ids = {}
for i = 1, #line, 2 do ids[#ids + 1] = line[i] end
local records, spents = redis.call('HMGET', key.jobs, unpack(ids)), redis.call('HMGET', key.spent, unpack(ids))

local taken, leases, ends = {}, {}, {}
book = new_book()
for i, id in ipairs(ids) do
  if not records[i] then
    -- Somebody deleted the record by hand: nothing is left to run.
    redis.call('ZREM', key.waiting, id)
    redis.call('ZREM', key.expiring, id)
    redis.call('HDEL', key.secrets, id)
    count(book, 'orphaned')
    tell(book, 'gone', '', id)
  else
    local job, spent = head(records[i]), read_spent(spents[i])
    local suspect = spent.lost > 0
    if job.expires > 0 and job.expires <= now then
      redis.call('ZREM', key.waiting, id)
      end_expired(key, now, id, job, book)
    elseif suspect and #taken > 0 then
      break
    else
      taken[#taken + 1] = id
      tell(book, 'active', job.task, id)
      ends[#ends + 1] = now + lease_ms
      ends[#ends + 1] = id
      leases[#leases + 1] = id
      leases[#leases + 1] = lease_text({
        token = token, attempt = spent.failures + spent.lost + 1, earlier = spents[i] and 1 or 0,
        rank = tonumber(line[i * 2]), reserved = now, started = 0, task = job.task, expires = job.expires,
        keep = job.keep, unique = job.unique, secret = job.secret,
      })
      if suspect then break end
    end
  end
end
write_book(key, book)

if #taken > 0 then
  redis.call('ZREM', key.waiting, unpack(taken))
  redis.call('ZADD', key.active, unpack(ends))
  redis.call('HSET', key.leases, unpack(leases))
  redis.call('HSET', key.reservations, worker, n .. ' ' .. table.concat(taken, ' '))
  if rate_count > 0 then
    for i, id in ipairs(taken) do redis.call('ZADD', key.starts, now, token .. ' ' .. i) end
  end
end
local left = redis.call('ZCARD', key.waiting) > 0
if left then poke(key) end
-- All that was looked at had expired.
if #taken == 0 then return { 'EMPTY', now, left and 1 or next_due() } end
return hand_out(taken)
