-- What a call adds up to, gathered on the way and written once at its end: totals, which only rise, and the news for those
-- who watch, one entry of the stream for up to 100 jobs.
local function new_book()
  return { sums = {}, news = {}, last = {} }
end

local function count(book, field, n)
  book.sums[field] = (book.sums[field] or 0) + (n or 1)
end

-- A job entered a state, or is `gone`. In the order of what happened; jobs with the same news stand together.
local function tell(book, state, task, id)
  local name = state .. ' ' .. task
  local ids = book.last[name]
  if not ids or #ids == 100 then
    ids = {}
    book.last[name] = ids
    book.news[#book.news + 1] = { name, ids }
  end
  ids[#ids + 1] = id
end

local function write_book(key, book)
  for field, n in pairs(book.sums) do redis.call('HINCRBY', key.totals, field, n) end
  for _, news in ipairs(book.news) do
    redis.call('XADD', key.events, 'MAXLEN', '~', 10000, '*', news[1], table.concat(news[2], ' '))
  end
end
