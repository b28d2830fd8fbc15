-- Wakes one worker that waits for this queue. One marker at most: who takes work and leaves some pokes the next.
local function poke(key)
  redis.call('ZADD', key.wake, 0, 'work')
end
