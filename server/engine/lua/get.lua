-- get: what is known of these jobs
--
-- KEYS     jobs       HASH  job id -> record
--          waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          cancelled  ZSET  job id -> end, ms
--          leases     HASH  job id -> lease
--          cancels    HASH  job id -> reason
--          attempts   HASH  job id -> one line per attempt
--          spent      HASH  job id -> failures, lost, snoozes, since
--          outcomes   HASH  job id -> JSON
--          progress   HASH  job id -> JSON
--          logs       HASH  job id -> lines
-- ARGV     now (unused), then ids
-- Returns  for each job that is known: id, state, its score there, record, lease, spent, attempts, outcome, progress, logs,
--          cancel reason; '' where there is none
-- Memory   allowed when it is full
-- @include state_of

local reply = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local record = redis.call('HGET', key.jobs, id)
  local state, score = state_of(key, id)
  if record and state then
    local fields = {
      id, state, score, record, redis.call('HGET', key.leases, id), redis.call('HGET', key.spent, id),
      redis.call('HGET', key.attempts, id), redis.call('HGET', key.outcomes, id), redis.call('HGET', key.progress, id),
      redis.call('HGET', key.logs, id), redis.call('HGET', key.cancels, id),
    }
    for n = 1, 11 do reply[#reply + 1] = fields[n] or '' end
  end
end
return reply
