-- attend: a worker says that it is there, and what it can do
--
-- KEYS     workers  ZSET  worker -> last seen, ms
--          crew     HASH  worker -> what it says of itself (JSON)
-- ARGV     now, worker, what it says of itself (JSON)
-- Returns  OK
-- Memory   allowed when it is full
-- @include now_ms

redis.call('ZADD', key.workers, now_ms(ARGV[1]), ARGV[2])
redis.call('HSET', key.crew, ARGV[2], ARGV[3])
return 'OK'
