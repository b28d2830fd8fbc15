-- The first line of a job's record: what scripts need to know of it. The rest is the caller's and is never read here.
-- `fingerprint` is that of the request which brought the job's id, `by` the id and fingerprint of the one that replaced
-- what stood there, or -. A record that somebody wrote over is still a job: the worker that gets it fails it.
local function head(record)
  local task, band, created, expires, keep, unique, secret, fingerprint, by =
    string.match(record, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%S+) ([01]) (%S+) (%S+)\n')
  if not task then
    return {
      task = 'unreadable', band = 100, created = 0, expires = 0, keep = 0, unique = '-', secret = true, fingerprint = '-', by = '-',
    }
  end
  return {
    task = task, band = tonumber(band), created = tonumber(created), expires = tonumber(expires),
    keep = tonumber(keep), unique = unique, secret = secret == '1', fingerprint = fingerprint, by = by,
  }
end

local function head_text(job)
  return string.format('%s %d %.0f %.0f %.0f %s %d %s %s\n', job.task, job.band, job.created, job.expires, job.keep,
    job.unique, job.secret and 1 or 0, job.fingerprint, job.by)
end
