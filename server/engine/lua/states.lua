-- states: where these jobs stand
--
-- KEYS     waiting    ZSET  job id -> rank
--          delayed    ZSET  job id -> due, ms
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          cancelled  ZSET  job id -> end, ms
-- ARGV     now (unused), then ids
-- Returns  a state for each id, '' for one that is not known
-- Memory   not needed: it only looks
-- @include state_of

local reply = {}
for i = 2, #ARGV do reply[i - 1] = state_of(key, ARGV[i]) or '' end
return reply
