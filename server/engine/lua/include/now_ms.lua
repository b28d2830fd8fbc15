-- Redis's own time in ms. `given` is '' but in tests, which bring a clock that they can move.
local function now_ms(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
