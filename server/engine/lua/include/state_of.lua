-- The one set a job stands in, and its score there; nil when it is not known.
local function state_of(key, id)
  for _, state in ipairs({ 'waiting', 'active', 'completed', 'delayed', 'failed', 'cancelled' }) do
    local score = redis.call('ZSCORE', key[state], id)
    if score then return state, score end
  end
end
