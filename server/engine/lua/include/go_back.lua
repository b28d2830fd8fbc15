-- active -> waiting at the place it had, or delayed; -> cancelled when somebody asked for that meanwhile. What it waits for
-- may have come while it ran: then it is not put off.
local function go_back(key, now, id, lease, delay, book)
  local stop = redis.call('HGET', key.cancels, id)
  drop_lease(key, id)
  if stop then
    redis.call('HSET', key.outcomes, id, stop)
    close(key, 'cancelled', now, id, lease, book)
  elseif delay > 0 and not lease.signalled then
    redis.call('ZADD', key.delayed, now + delay, id)
    tell(book, 'delayed', lease.task, id)
  else
    redis.call('ZADD', key.waiting, string.format('%.0f', lease.rank), id)
    tell(book, 'waiting', lease.task, id)
  end
end
