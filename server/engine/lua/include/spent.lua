-- What a job has used up so far: failed attempts, lost leases, snoozes and when the first of these snoozes was, in ms.
local function read_spent(text)
  if not text then return { failures = 0, lost = 0, snoozes = 0, since = 0 } end
  local failures, lost, snoozes, since = string.match(text, '^(%d+) (%d+) (%d+) (%d+)$')
  return { failures = tonumber(failures), lost = tonumber(lost), snoozes = tonumber(snoozes), since = tonumber(since) }
end

local function write_spent(key, id, spent)
  redis.call('HSET', key.spent, id,
    string.format('%d %d %d %.0f', spent.failures, spent.lost, spent.snoozes, spent.since))
end
