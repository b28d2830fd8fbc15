-- Who holds a claim: job id and fingerprint, or nil when it is free.
-- An idempotency claim (i:) holds for its time and in any case while its job lives; a unique claim (u:) for its time,
-- or, when it has none, exactly while its job lives.
local function claimed_by(key, now, claim)
  local text = redis.call('HGET', key.claims, claim)
  if not text then return nil end
  local id, ends, fingerprint = string.match(text, '^(%S+) (%d+) (%S+)$')
  local timed = tonumber(ends) > now
  local bound_to_job = string.sub(claim, 1, 2) == 'i:' or ends == '0'
  if timed or (bound_to_job and live(key, id)) then return id, fingerprint end
  return nil
end
