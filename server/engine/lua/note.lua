-- note: active stays active: the worker writes down how far it is
--
-- KEYS     leases    HASH  job id -> lease
--          progress  HASH  job id -> JSON
--          logs      HASH  job id -> one JSON array a line
-- ARGV     now, id, token, progress (JSON without its time, '' none), log line (JSON text, '' none), most lines kept
-- Returns  OK | LEASE_LOST
-- Keeps    only the holder writes. Repeated, a log line may stand twice.
-- Memory   refused when it is full
-- @include now_ms
-- @include lease
-- @include held

local now, id, most = now_ms(ARGV[1]), ARGV[2], tonumber(ARGV[6])
local lease = held(key, id, ARGV[3])
if not lease then return 'LEASE_LOST' end
if ARGV[4] ~= '' then
  redis.call('HSET', key.progress, id, string.format('[%.0f,', now) .. ARGV[4] .. ']')
end
if ARGV[5] ~= '' then
  local line = string.format('[%.0f,%d,', now, lease.attempt) .. ARGV[5] .. ']'
  local earlier = redis.call('HGET', key.logs, id)
  if earlier then
    local _, breaks = string.gsub(earlier, '\n', '\n')
    if breaks + 1 >= most then earlier = string.match(earlier, '\n(.*)$') or '' end
    line = earlier .. '\n' .. line
  end
  redis.call('HSET', key.logs, id, line)
end
return 'OK'
