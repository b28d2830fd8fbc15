-- leave: a worker that has ended in order says so: nobody waits to see whether it comes back
--
-- KEYS     workers       ZSET  worker -> last seen, ms
--          crew          HASH  worker -> what it says of itself (JSON)
--          reservations  HASH  worker -> n of its last reservation, job ids
-- ARGV     now (unused), worker
-- Returns  OK
-- Memory   allowed when it is full

redis.call('ZREM', key.workers, ARGV[2])
redis.call('HDEL', key.crew, ARGV[2])
redis.call('HDEL', key.reservations, ARGV[2])
return 'OK'
