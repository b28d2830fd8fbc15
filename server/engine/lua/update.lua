-- update: what an operator sets for the queue, over what its environment says
--
-- KEYS     meta  HASH  the fields that server/engine/overrides.py names
--          wake  ZSET  marker
-- ARGV     now (unused), how many fields to take away, these, then field and value of each that is set
-- Returns  OK
-- Memory   allowed when it is full
-- @include poke

local gone = tonumber(ARGV[2])
for i = 3, 2 + gone do redis.call('HDEL', key.meta, ARGV[i]) end
for i = 3 + gone, #ARGV, 2 do redis.call('HSET', key.meta, ARGV[i], ARGV[i + 1]) end
poke(key)
return 'OK'
