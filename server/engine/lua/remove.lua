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

local wanted = ARGV[2]
local book, gone, reply, seen = new_book(), {}, {}, {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local state = not seen[id] and state_of(key, id)
  seen[id] = true
  if not state then
    reply[#reply + 1] = 'JOB_NOT_FOUND'
    reply[#reply + 1] = ''
  elseif state == 'active' or (wanted ~= '' and state ~= wanted) then
    reply[#reply + 1] = 'JOB_STATE'
    reply[#reply + 1] = state
  else
    local record = redis.call('HGET', key.jobs, id)
    local unique = record and head(record).unique
    if unique and unique ~= '-' and redis.call('HGET', key.claims, unique) == id .. ' 0 -' then
      redis.call('HDEL', key.claims, unique)
    end
    redis.call('ZREM', key[state], id)
    gone[#gone + 1] = id
    reply[#reply + 1] = 'OK'
    reply[#reply + 1] = ''
  end
end
forget(key, gone, book)
write_book(key, book)
return reply
