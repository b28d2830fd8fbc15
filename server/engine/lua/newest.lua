-- newest: the cursor of now. A queue in which nothing has happened yet gets a first entry, so that there is one
--
-- KEYS     events  STREAM  news
-- ARGV     now (unused)
-- Returns  the id of the newest entry
-- Memory   allowed when it is full

local last = redis.call('XREVRANGE', key.events, '+', '-', 'COUNT', 1)[1]
return last and last[1] or redis.call('XADD', key.events, '*', 'begin', '')
