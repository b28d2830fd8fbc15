-- For whoever made room for another job.
local function poke_if_any(key)
  if redis.call('ZCARD', key.waiting) > 0 then poke(key) end
end
