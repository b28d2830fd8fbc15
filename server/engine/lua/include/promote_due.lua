-- Lines up what is due, oldest first. Returns how many.
local function promote_due(key, now, limit, book)
  local ids = redis.call('ZRANGEBYSCORE', key.delayed, '-inf', now, 'LIMIT', 0, limit)
  if #ids == 0 then return 0 end
  local records = redis.call('HMGET', key.jobs, unpack(ids))
  local due = {}
  for i, id in ipairs(ids) do
    local job = records[i] and head(records[i])
    if job then due[#due + 1] = { id, job.band, job.task } end
  end
  redis.call('ZREM', key.delayed, unpack(ids))
  line_up(key, now, due, book)
  return #due
end
