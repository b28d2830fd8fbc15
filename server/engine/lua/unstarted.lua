-- unstarted: how many jobs a worker may still start without asking: held under a lease that has not run out, and not said
-- to have started
--
-- KEYS     active  ZSET  job id -> lease end, ms
--          leases  HASH  job id -> lease
-- ARGV     now
-- Returns  their number
-- Memory   not needed: it only looks
-- @include now_ms
-- @include lease

local held = redis.call('ZRANGEBYSCORE', key.active, '(' .. string.format('%.0f', now_ms(ARGV[1])), '+inf')
local n = 0
for _, id in ipairs(held) do
  local text = redis.call('HGET', key.leases, id)
  if text and read_lease(text).started == 0 then n = n + 1 end
end
return n
