-- Lines up what is due, oldest first. Returns how many.
local function promote_due(key, now, limit)
  local ids = redis.call('ZRANGEBYSCORE', key.delayed, '-inf', now, 'LIMIT', 0, limit)
  if #ids == 0 then return 0 end
  local records = redis.call('HMGET', key.jobs, unpack(ids))
  local due = {}
  for i, id in ipairs(ids) do
    if records[i] then due[#due + 1] = { id, head(records[i]).band } end
  end
  redis.call('ZREM', key.delayed, unpack(ids))
  line_up(key, due)
  return #due
end
