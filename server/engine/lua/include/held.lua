-- The lease that `token` holds on the job, or nil: only the newest token settles a job.
local function held(key, id, token)
  local text = redis.call('HGET', key.leases, id)
  if not text or string.sub(text, 1, #token + 1) ~= token .. ' ' then return nil end
  return read_lease(text)
end
