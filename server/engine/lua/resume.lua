-- resume: the end of pause
--
-- KEYS     meta  HASH  paused
--          wake  ZSET  marker
-- ARGV     now (unused)
-- Returns  OK
-- Memory   allowed when it is full
-- @include poke

redis.call('HDEL', key.meta, 'paused')
poke(key)
return 'OK'
