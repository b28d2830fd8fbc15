-- Removes jobs and all that is known of them. The caller has taken them out of their set.
local function forget(key, ids)
  if #ids == 0 then return end
  for _, name in ipairs({ 'jobs', 'attempts', 'spent', 'outcomes', 'secrets', 'progress', 'logs' }) do
    redis.call('HDEL', key[name], unpack(ids))
  end
  redis.call('ZREM', key.kept, unpack(ids))
  redis.call('ZREM', key.expiring, unpack(ids))
end
