-- Puts jobs at the end of their band of the line. `jobs` holds {id, band, task}; order within a band is the order given.
local function line_up(key, now, jobs, book)
  if #jobs == 0 then return end
  local place = first_place(now, tonumber(redis.call('HGET', key.meta, 'seq') or 0))
  local ranks = {}
  for i, job in ipairs(jobs) do
    ranks[2 * i - 1] = string.format('%.0f', job[2] * band_size + place + i - 1)
    ranks[2 * i] = job[1]
    tell(book, 'waiting', job[3], job[1])
  end
  redis.call('ZADD', key.waiting, unpack(ranks))
  redis.call('HSET', key.meta, 'seq', string.format('%.0f', place + #jobs - 1))
end
