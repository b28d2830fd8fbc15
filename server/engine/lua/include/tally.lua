-- Totals that only rise. Gathered over a call and written once a field.
local function tally(sums, field)
  sums[field] = (sums[field] or 0) + 1
end

local function write_tally(key, sums)
  for field, n in pairs(sums) do redis.call('HINCRBY', key.totals, field, n) end
end
