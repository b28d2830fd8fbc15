-- Puts jobs at the end of their band of the line. `jobs` holds {id, band}; order within a band is the order given.
-- A rank stays below 2^53: 201 bands of 2^44 places.
local function line_up(key, jobs)
  if #jobs == 0 then return end
  local last = redis.call('HINCRBY', key.meta, 'seq', #jobs)
  local first = last - #jobs
  for i, job in ipairs(jobs) do
    redis.call('ZADD', key.waiting, job[2] * 17592186044416 + first + i, job[1])
  end
end
