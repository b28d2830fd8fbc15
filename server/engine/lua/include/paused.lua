-- Whether the queue is paused, and until when (0: until resume). A pause that is over ends here, by whoever notices it
-- first, and that wakes a worker.
local function paused(key, now)
  local flags = redis.call('HMGET', key.meta, 'paused', 'paused_until')
  if not flags[1] then return false end
  local ends = tonumber(flags[2] or 0)
  if ends == 0 or now < ends then return true, ends end
  redis.call('HDEL', key.meta, 'paused', 'paused_until', 'pause_reason')
  poke(key)
  return false
end
