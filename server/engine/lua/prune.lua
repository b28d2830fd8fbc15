-- prune: completed | failed | cancelled -> gone, when their time or their number is past; claims that have ended -> gone
--
-- A job that brought a retention of its own stays for exactly that time, unless the number kept is exceeded. Nothing goes
-- within a minute of its end: an enqueue or a settlement that is sent again must still find it.
--
-- KEYS     meta          HASH  pruned:<state>: everything up to this end time was looked at; retentions that an operator set
--          jobs          HASH  job id -> record
--          waiting       ZSET  job id -> rank
--          delayed       ZSET  job id -> due, ms
--          active        ZSET  job id -> lease end, ms
--          completed     ZSET  job id -> end, ms
--          failed        ZSET  job id -> end, ms
--          cancelled     ZSET  job id -> end, ms
--          attempts      HASH  job id -> one line per attempt
--          spent         HASH  job id -> failures, lost, snoozes, since
--          outcomes      HASH  job id -> JSON
--          secrets       HASH  job id -> payload
--          progress      HASH  job id -> JSON
--          logs          HASH  job id -> lines
--          kept          ZSET  job id -> end of its own retention, ms
--          expiring      ZSET  job id -> last moment to start, ms
--          claims        HASH  claim -> job id, end, fingerprint
--          claims_until  ZSET  claim -> end, ms
--          workers       ZSET  worker -> last seen, ms
--          reservations  HASH  worker -> n of its last reservation, job ids
--          crew          HASH  worker -> what it says of itself (JSON)
--          totals        HASH  removed
--          events        STREAM  news
-- ARGV     now, limit (jobs a state), then for completed, failed, cancelled: age (ms), number kept
-- Returns  how many jobs are gone, 1 when there is more to do at once
-- Memory   allowed when it is full
-- @include now_ms
-- @include book
-- @include live
-- @include forget

local now, limit = now_ms(ARGV[1]), tonumber(ARGV[2])
local grace, day, gone, more = now - 60000, 86400000, 0, 0
local book = new_book()

local function drop(state, ids)
  if #ids == 0 then return end
  redis.call('ZREM', key[state], unpack(ids))
  forget(key, ids, book)
  gone = gone + #ids
end

-- By age: from where the last sweep ended, passing over what keeps its own time.
local function by_age(state, age)
  local mark = 'pruned:' .. state
  local from = redis.call('HGET', key.meta, mark)
  local cutoff = math.min(now - age, grace)
  -- The clock went back, or the age was raised.
  if from and tonumber(from) > cutoff then from = nil end
  local old = redis.call('ZRANGEBYSCORE', key[state], from and '(' .. from or '-inf', cutoff, 'WITHSCORES', 'LIMIT', 0, limit)
  local full, last = #old == limit * 2, tonumber(old[#old])
  -- A millisecond that holds more than one step takes is one step: there is no mark within it.
  local one_moment = full and tonumber(old[2]) == last
  if one_moment then old = redis.call('ZRANGEBYSCORE', key[state], last, last, 'WITHSCORES') end
  local ids = {}
  for i = 1, #old, 2 do
    if not redis.call('ZSCORE', key.kept, old[i]) then ids[#ids + 1] = old[i] end
  end
  drop(state, ids)
  if full then more = 1 end
  if #ids * 2 < #old then
    -- A step may end within a millisecond: then the mark stays just below it.
    local upto = not full and cutoff or one_moment and last or last - 1
    redis.call('HSET', key.meta, mark, string.format('%.0f', upto))
  end
end

local function by_number(state, most)
  local excess = math.min(redis.call('ZCARD', key[state]) - most, limit)
  if excess <= 0 then return end
  local ids = {}
  local oldest = redis.call('ZRANGE', key[state], 0, excess - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    if tonumber(oldest[i + 1]) <= grace then ids[#ids + 1] = oldest[i] end
  end
  drop(state, ids)
  if #ids == limit then more = 1 end
end

local set = redis.call('HMGET', key.meta, 'completed_age', 'completed_count', 'failed_age', 'failed_count')
-- Cancelled jobs are kept as completed ones.
for n, state in ipairs({ 'completed', 'failed', 'cancelled' }) do
  local which = state == 'failed' and 3 or 1
  by_age(state, tonumber(set[which] or ARGV[1 + 2 * n]))
  by_number(state, tonumber(set[which + 1] or ARGV[2 + 2 * n]))
end

local over = redis.call('ZRANGEBYSCORE', key.kept, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(over) do
  local ended = redis.call('ZREM', key.completed, id) + redis.call('ZREM', key.failed, id) + redis.call('ZREM', key.cancelled, id)
  if ended > 0 then
    forget(key, { id }, book)
    gone = gone + 1
  else
    redis.call('ZREM', key.kept, id)
  end
end
if #over == limit then more = 1 end

local lapsed = redis.call('ZRANGEBYSCORE', key.claims_until, '-inf', now, 'LIMIT', 0, limit)
for _, claim in ipairs(lapsed) do
  local text = redis.call('HGET', key.claims, claim)
  local id = text and string.match(text, '^%S+')
  if id and string.sub(claim, 1, 2) == 'i:' and live(key, id) then
    redis.call('ZADD', key.claims_until, now + day, claim)
  else
    redis.call('ZREM', key.claims_until, claim)
    redis.call('HDEL', key.claims, claim)
  end
end
if #lapsed == limit then more = 1 end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key.workers, '-inf', now - day, 'LIMIT', 0, limit)) do
  redis.call('ZREM', key.workers, worker)
  redis.call('HDEL', key.reservations, worker)
  redis.call('HDEL', key.crew, worker)
end
write_book(key, book)
return { gone, more }
