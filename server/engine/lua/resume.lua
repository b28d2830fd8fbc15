-- resume: the end of pause
--
-- KEYS     meta  HASH  paused, paused_until, pause_reason
--          wake  ZSET  marker
-- ARGV     now (unused)
-- Returns  OK
-- Memory   allowed when it is full
-- @include poke

redis.call('HDEL', key.meta, 'paused', 'paused_until', 'pause_reason')
poke(key)
return 'OK'
