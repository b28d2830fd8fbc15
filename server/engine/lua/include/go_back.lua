-- active -> waiting at the place it had, or delayed; -> cancelled when somebody asked for that meanwhile.
local function go_back(key, now, id, lease, delay, sums)
  local stop = redis.call('HGET', key.cancels, id)
  drop_lease(key, id)
  if stop then
    redis.call('HSET', key.outcomes, id, stop)
    close(key, 'cancelled', now, id, lease)
    tally(sums, 'finished:cancelled:' .. lease.task)
  elseif delay > 0 then
    redis.call('ZADD', key.delayed, now + delay, id)
  else
    redis.call('ZADD', key.waiting, lease.rank, id)
  end
end
