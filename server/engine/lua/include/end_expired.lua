-- A job that may not start any more: waiting | delayed -> failed. The caller has taken it out of its set.
local function end_expired(key, now, id, job, book)
  redis.call('HSET', key.outcomes, id, '{"reason":"EXPIRED","message":"it was not running when it expired"}')
  close(key, 'failed', now, id, job, book)
end
