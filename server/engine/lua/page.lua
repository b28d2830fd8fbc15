-- page: which jobs stand next in the order of a state
--
-- KEYS     waiting    ZSET  job id -> rank
--          active     ZSET  job id -> lease end, ms
--          completed  ZSET  job id -> end, ms
--          failed     ZSET  job id -> end, ms
--          delayed    ZSET  job id -> due, ms
--          cancelled  ZSET  job id -> end, ms
-- ARGV     now (unused), state, 1 from the end, score and id after which to go on ('' from the beginning), last score,
--          how many (-1 all)
-- Returns  how many stand in the state, up to the last score, then id and score of each
-- Keeps    a job that stays is found exactly once, whatever comes and goes: a page goes on by score and id, not by number.
-- Memory   not needed: it only looks
-- @include before

local set, backwards, last, want = key[ARGV[2]], ARGV[3] == '1', ARGV[6], tonumber(ARGV[7])
local total = redis.call('ZCOUNT', set, '-inf', last)

-- How many are before this score and id, or are it.
local function up_to(score, id, itself)
  local low, high = redis.call('ZCOUNT', set, '-inf', '(' .. score), redis.call('ZCOUNT', set, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local other = redis.call('ZRANGE', set, middle, middle)[1]
    if before(other, id) or (itself and other == id) then low = middle + 1 else high = middle end
  end
  return low
end

local first, stop = 0, total - 1
if backwards then
  if ARGV[4] ~= '' then stop = math.min(stop, up_to(ARGV[4], ARGV[5], false) - 1) end
  if want >= 0 then first = math.max(0, stop - want + 1) end
else
  if ARGV[4] ~= '' then first = up_to(ARGV[4], ARGV[5], true) end
  if want >= 0 then stop = math.min(stop, first + want - 1) end
end

local reply = { total }
if stop < first then return reply end
local found = redis.call('ZRANGE', set, first, stop, 'WITHSCORES')
local from, to, step = 1, #found - 1, 2
if backwards then from, to, step = #found - 1, 1, -2 end
for i = from, to, step do
  reply[#reply + 1] = found[i]
  reply[#reply + 1] = found[i + 1]
end
return reply
