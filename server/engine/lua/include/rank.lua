-- A rank is band * 2^45 + place. Places only rise, 64 to a millisecond since 2026, and run ahead of the clock where more
-- jobs come than that: so a band is first in, first out, and a rank tells when its job was lined up. 201 bands stay below
-- 2^53, where numbers are exact; the last places, from the end of 2042 on, only count.
local band_size, since_2026, latest = 35184372088832, 1767225600000, 34084860461056

local function first_place(now, last)
  return math.max(last + 1, math.min((now - since_2026) * 64, latest))
end

local function band_of(rank)
  return math.floor(rank / band_size)
end

local function lined_up_at(rank)
  return since_2026 + math.floor(rank % band_size / 64)
end
