-- What a job has used up so far: failed attempts, lost leases, snoozes and when the first of these snoozes was, in ms; how
-- often an operator forgave it all of that, and the mark of the last time (- never).
local function read_spent(text)
  if not text then return { failures = 0, lost = 0, snoozes = 0, since = 0, retries = 0, mark = '-' } end
  local failures, lost, snoozes, since, retries, mark = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%S+)$')
  return {
    failures = tonumber(failures), lost = tonumber(lost), snoozes = tonumber(snoozes), since = tonumber(since),
    retries = tonumber(retries), mark = mark,
  }
end

local function spent_text(spent)
  return string.format('%d %d %d %.0f %d %s', spent.failures, spent.lost, spent.snoozes, spent.since, spent.retries, spent.mark)
end

local function write_spent(key, id, spent)
  redis.call('HSET', key.spent, id, spent_text(spent))
end
