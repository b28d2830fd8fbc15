-- crew: the workers of the queue that were heard of lately
--
-- KEYS     leases   HASH  job id -> lease
--          workers  ZSET  worker -> last seen, ms
--          crew     HASH  worker -> what it says of itself (JSON)
-- ARGV     now, silence (ms) after which a worker counts as gone
-- Returns  for each: worker, last seen (ms), what it says of itself ('' nothing yet), how many jobs it holds
-- Memory   not needed: it only looks
-- @include now_ms
-- @include workers_seen

return workers_seen(key, now_ms(ARGV[1]) - tonumber(ARGV[2]))
