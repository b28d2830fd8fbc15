-- changes: what happened after a cursor
--
-- KEYS     events  STREAM  news
-- ARGV     now (unused), cursor, how many entries
-- Returns  the entries after it, or LOST: the entry of the cursor is not kept any more, and others may have gone with it
-- Keeps    nobody passes over an entry unknowingly.
-- Memory   not needed: it only looks

local cursor = ARGV[2]
local found = redis.call('XRANGE', key.events, cursor, '+', 'COUNT', tonumber(ARGV[3]) + 1)
if not found[1] or found[1][1] ~= cursor then return { 'LOST' } end
table.remove(found, 1)
return found
