-- Whether a job has not come to its end yet.
local function live(key, id)
  return redis.call('ZSCORE', key.waiting, id) or redis.call('ZSCORE', key.delayed, id) or redis.call('ZSCORE', key.active, id)
end
