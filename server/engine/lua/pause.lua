-- pause: reserve hands out nothing until resume; what runs goes on
--
-- KEYS     meta  HASH  paused: when, ms
-- ARGV     now
-- Returns  OK
-- Keeps    repeated, the first time stays.
-- Memory   allowed when it is full
-- @include now_ms

redis.call('HSETNX', key.meta, 'paused', string.format('%.0f', now_ms(ARGV[1])))
return 'OK'
