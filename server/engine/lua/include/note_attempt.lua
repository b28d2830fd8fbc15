-- Writes down how an attempt ended, newest last, one JSON array a line, at most 20 lines.
-- `err` is a JSON text; it never holds a raw line break.
local function note_attempt(key, id, lease, started, ended, outcome, err)
  local line = string.format('[%d,"%s",%.0f,%.0f,"%s",', lease.attempt, lease.token, started, ended, outcome) .. err .. ']'
  local earlier = lease.earlier == 1 and redis.call('HGET', key.attempts, id)
  if earlier then
    local _, breaks = string.gsub(earlier, '\n', '\n')
    if breaks >= 19 then earlier = string.match(earlier, '\n(.*)$') end
    line = earlier .. '\n' .. line
  end
  redis.call('HSET', key.attempts, id, line)
end
