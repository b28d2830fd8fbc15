-- A terminal state: `job` (a head or a lease) enters `state`, its secrets are erased and its unique key is free again.
-- However short its own retention, it stays for a minute: see prune.
local function close(key, state, now, id, job, book)
  redis.call('ZADD', key[state], now, id)
  if job.keep > 0 then redis.call('ZADD', key.kept, now + math.max(job.keep, 60000), id) end
  if job.expires > 0 then redis.call('ZREM', key.expiring, id) end
  if job.secret then redis.call('HDEL', key.secrets, id) end
  if job.unique ~= '-' and redis.call('HGET', key.claims, job.unique) == id .. ' 0 -' then
    redis.call('HDEL', key.claims, job.unique)
  end
  count(book, 'finished:' .. state .. ':' .. job.task)
  tell(book, state, job.task, id)
end
