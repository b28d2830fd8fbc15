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
-- ARGV     now (unused), whole | brief, then ids
-- Returns  for each job that is known: id, state, its score there, record, lease, spent, attempts, outcome, progress, logs,
--          cancel reason; '' where there is none. In brief without what may be large: of the record its first two lines, of the
--          attempts the newest, of the outcomes those of failed and cancelled jobs, no progress and no logs
-- Memory   not needed: it only looks
-- @include state_of

local brief, reply = ARGV[2] == 'brief', {}

local function newest_line(text)
  return text and (string.match(text, '^.*\n(.*)$') or text)
end

for i = 3, #ARGV do
  local id = ARGV[i]
  local record = redis.call('HGET', key.jobs, id)
  local state, score = state_of(key, id)
  if record and state then
    local attempts = redis.call('HGET', key.attempts, id)
    local fields = {
      id, state, score, brief and string.match(record, '^[^\n]*\n[^\n]*\n') or record, redis.call('HGET', key.leases, id),
      redis.call('HGET', key.spent, id), brief and newest_line(attempts) or attempts,
      (not brief or state ~= 'completed') and redis.call('HGET', key.outcomes, id),
      not brief and redis.call('HGET', key.progress, id), not brief and redis.call('HGET', key.logs, id),
      redis.call('HGET', key.cancels, id),
    }
    for n = 1, 11 do reply[#reply + 1] = fields[n] or '' end
  end
end
return reply
