-- What to answer when the token does not hold the job and the attempt should have ended with `outcome`.
local function not_held(key, id, token, outcome)
  if settled_by(key, id, token, outcome) then return 'OK' end
  if redis.call('HEXISTS', key.jobs, id) == 0 then return 'JOB_NOT_FOUND' end
  return 'LEASE_LOST'
end
