-- Whether one id comes before another in a set where both have the same score: byte by byte, as Redis compares them. Lua's
-- own < asks the locale.
local function before(a, b)
  for n = 1, math.min(#a, #b) do
    local x, y = string.byte(a, n), string.byte(b, n)
    if x ~= y then return x < y end
  end
  return #a < #b
end
