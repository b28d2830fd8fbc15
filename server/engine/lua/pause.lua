-- pause: reserve hands out nothing until resume; what runs goes on
--
-- KEYS     meta  HASH  paused: since when, ms; paused_until: when it ends by itself, ms; pause_reason
--          wake  ZSET  marker
-- ARGV     now, reason ('' not said), until (ms, 0 not said: until resume)
-- Returns  OK
-- Keeps    repeated, the first time stays, unless that pause is over; so do reason and end where they are not said again.
-- Memory   allowed when it is full
-- @include now_ms
-- @include poke
-- @include paused

local now = now_ms(ARGV[1])
if not paused(key, now) then redis.call('HSET', key.meta, 'paused', string.format('%.0f', now)) end
if ARGV[2] ~= '' then redis.call('HSET', key.meta, 'pause_reason', ARGV[2]) end
if ARGV[3] ~= '0' then redis.call('HSET', key.meta, 'paused_until', ARGV[3]) end
return 'OK'
