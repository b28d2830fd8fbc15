-- A lease as text and back. It carries what settling needs, so that settling never reads the record with its payload.
--   token      worker:n, of the reservation that made it
--   attempt    from 1
--   earlier    1 when attempts are on record already
--   rank       the place in the line, for the way back
--   reserved, started  ms; started is 0 until the worker said so
--   signalled  what the job waits for has come: it is not put off again
local function lease_text(lease)
  return string.format('%s %d %d %.0f %.0f %.0f %s %.0f %.0f %s %d %d', lease.token, lease.attempt, lease.earlier,
    lease.rank, lease.reserved, lease.started, lease.task, lease.expires, lease.keep, lease.unique, lease.secret and 1 or 0,
    lease.signalled and 1 or 0)
end

local function read_lease(text)
  local token, attempt, earlier, rank, reserved, started, task, expires, keep, unique, secret, signalled =
    string.match(text, '^(%S+) (%d+) (%d) (%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%S+) (%d) (%d)$')
  return {
    token = token, attempt = tonumber(attempt), earlier = tonumber(earlier), rank = tonumber(rank),
    reserved = tonumber(reserved), started = tonumber(started), task = task, expires = tonumber(expires),
    keep = tonumber(keep), unique = unique, secret = secret == '1', signalled = signalled == '1',
  }
end
