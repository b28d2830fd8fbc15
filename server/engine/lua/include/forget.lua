-- Removes jobs and all that is known of them. The caller has taken them out of their set.
local function forget(key, ids, book)
  if #ids == 0 then return end
  for _, name in ipairs({ 'jobs', 'attempts', 'spent', 'outcomes', 'secrets', 'progress', 'logs' }) do
    redis.call('HDEL', key[name], unpack(ids))
  end
  redis.call('ZREM', key.kept, unpack(ids))
  redis.call('ZREM', key.expiring, unpack(ids))
  count(book, 'removed', #ids)
  for _, id in ipairs(ids) do tell(book, 'gone', '', id) end
end
