-- remove: waiting | delayed | completed | failed | cancelled -> gone, because an operator wants it
--
-- KEYS     jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          cancelled  ZSET  job id -> end, ms
--          attempts   HASH  job id -> one line per attempt
--          spent      HASH  job id -> failures, lost, snoozes, since, retries, mark
--          outcomes   HASH  job id -> JSON
--          secrets    HASH  job id -> payload
--          progress   HASH  job id -> JSON
--          logs       HASH  job id -> lines
--          kept       ZSET  job id -> end of its own retention, ms
--          expiring   ZSET  job id -> last moment to start, ms
--          claims     HASH  claim -> job id, end, fingerprint
--          totals     HASH  removed
--          events     STREAM  news
-- ARGV     now (unused), the state that the jobs must be in ('' any but active), then ids
-- Returns  for each job: OK, '' | JOB_NOT_FOUND, '' | JOB_STATE, state
-- Keeps    a unique key without a time goes with its job, an idempotency key answers for its time.
--          Repeated, it finds none of them and changes nothing.
-- Memory   allowed when it is full
-- @include book
-- @include head
-- @include state_of
-- @include forget

local wanted, ids = ARGV[2], {}
for i = 3, #ARGV do ids[i - 2] = ARGV[i] end
local records = redis.call('HMGET', key.jobs, unpack(ids))
local book, gone, reply, going = new_book(), {}, {}, {}

local function state_now(id)
  if going[id] then return nil end
  local state = wanted
  if state ~= '' and redis.call('ZSCORE', key[state], id) then return state end
  return (state_of(key, id))
end

for i, id in ipairs(ids) do
  local state = state_now(id)
  local word, detail = 'OK', ''
  if not state then
    word = 'JOB_NOT_FOUND'
  elseif state == 'active' or (wanted ~= '' and state ~= wanted) then
    word, detail = 'JOB_STATE', state
  else
    local unique = records[i] and head(records[i]).unique or '-'
    if unique ~= '-' and redis.call('HGET', key.claims, unique) == id .. ' 0 -' then redis.call('HDEL', key.claims, unique) end
    redis.call('ZREM', key[state], id)
    going[id] = true
    gone[#gone + 1] = id
  end
  reply[#reply + 1] = word
  reply[#reply + 1] = detail
end
forget(key, gone, book)
write_book(key, book)
return reply
