-- Takes the job out of `active`. The caller puts it into another set in the same breath.
local function drop_lease(key, id)
  redis.call('ZREM', key.active, id)
  redis.call('HDEL', key.leases, id)
  redis.call('HDEL', key.cancels, id)
end
