-- Those who were heard of lately: worker, last seen (ms), what it says of itself ('' nothing yet), jobs that it holds.
local function workers_seen(key, since)
  local held, reply = {}, {}
  for _, text in ipairs(redis.call('HVALS', key.leases)) do
    local worker = string.match(text, '^(%S+):%d+ ')
    if worker then held[worker] = (held[worker] or 0) + 1 end
  end
  local seen = redis.call('ZRANGEBYSCORE', key.workers, since, '+inf', 'WITHSCORES')
  for i = 1, #seen, 2 do
    reply[#reply + 1] = seen[i]
    reply[#reply + 1] = seen[i + 1]
    reply[#reply + 1] = redis.call('HGET', key.crew, seen[i]) or ''
    reply[#reply + 1] = held[seen[i]] or 0
  end
  return reply
end
