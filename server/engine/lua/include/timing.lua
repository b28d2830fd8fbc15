-- How long an attempt had waited and how long it ran: how many took up to so many ms, and the sum.
local bounds = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 900000, 3600000 }

local function count_time(book, kind, task, ms)
  ms = math.max(ms, 0)
  local n = 1
  while bounds[n] and ms > bounds[n] do n = n + 1 end
  count(book, kind .. ':' .. (bounds[n] or 'more') .. ':' .. task)
  count(book, kind .. '_ms:' .. task, ms)
end

local function count_attempt(book, lease, started, now, outcome)
  count(book, 'attempts:' .. outcome .. ':' .. lease.task)
  count_time(book, 'wait', lease.task, started - lined_up_at(lease.rank))
  count_time(book, 'run', lease.task, now - started)
end
