-- Whether the last attempt on record ended under this token in this way: then the call is a repetition, its answer is OK.
local function settled_by(key, id, token, outcome)
  local attempts = redis.call('HGET', key.attempts, id)
  if not attempts then return false end
  local last = string.match(attempts, '^.*\n(.*)$') or attempts
  local by, how = string.match(last, '^%[%d+,"([^"]*)",%d+,%d+,"([%l_]*)"')
  return by == token and how == outcome
end
