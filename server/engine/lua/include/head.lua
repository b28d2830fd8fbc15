-- The first line of a job's record: what scripts need to know of it. The rest is the caller's and is never read here.
-- `fingerprint` is that of the request which brought the job's id, `by` the id and fingerprint of the one that replaced
-- what stood there, or -.
local function head(record)
  local task, band, created, expires, keep, unique, secret, fingerprint, by =
    string.match(record, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%S+) ([01]) (%S+) (%S+)\n')
  return {
    task = task, band = tonumber(band), created = tonumber(created), expires = tonumber(expires),
    keep = tonumber(keep), unique = unique, secret = secret == '1', fingerprint = fingerprint, by = by,
  }
end
