"""The gRPC door: requests become values, one engine call, values become answers.

reception   around every call: deadline, refusal as a status, one log line, one observation
queue, email  the servicers
intake      a request -> a NewJob; with payload, rules, times, faults
admission   a NewJob -> what is stored; writes go on when their caller has left
wait        one poller for everybody who waits for a job's end
job         a job as the contract shows it
status      the one table: error -> code, reason, details
server      all of it behind one port, with health and reflection
"""
