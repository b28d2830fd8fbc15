"""The gRPC door: a request becomes values, the engine is asked, values become the answer.

server      all of it behind one port; the order of start and stop
reception   around every rpc with one request: deadline, status, one line in the log, one observation
queue, email, health   the servicers
intake      a request -> a NewJob, by payload, rules and times; faults gathers what is wrong
admission   a NewJob -> the answer that it is stored; commits goes on when the caller has left
wait        one look for everybody who waits for the end of a job
watch       what a watcher is told; feed reads a queue's news for all who watch it, wanted is what one asks for
job         a job as the contract shows it
status      the one table: a refusal -> code, reason and details; errors has the door's own
"""
