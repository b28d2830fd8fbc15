"""A queue with jobs in every state."""

from __future__ import annotations

from datetime import timedelta

from server.engine.admit import cancel
from server.engine.work import extend, note
from tests.engine.hands import QUEUE, Worker, completed, failed, new_job, put, run_of

LONG = timedelta(minutes=5)
STATES = ("waiting", "active", "completed", "failed", "delayed", "cancelled")
MASKED = b'{"email":"ada@example.org","code":"***"}'
SECRET = b'{"email":"ada@example.org","code":"123456"}'


def fill(worker: Worker) -> None:
    """One job in each state, named by it; and `secret`, which failed, and whose payload held a secret."""
    engine = worker.engine
    put(engine, "completed")
    job = worker.take_one()
    engine.run(note(job.lease, progress=(50, "half way"), line="connected"))
    engine.run(completed(job, result=b'{"sent":true}'))
    secret = new_job("secret", task="email.verification_code", payload=SECRET, masked=MASKED)
    for failing in (new_job("failed", labels={"tenant": "north"}), secret):
        put(engine, failing)
        engine.run(failed(worker.take_one()))
    put(engine, "cancelled")
    engine.run(cancel(QUEUE, "cancelled", "changed my mind"))
    put(engine, "active")
    (running,) = worker.take(1, lease=LONG)
    engine.run(extend(QUEUE, [run_of(running)], lease=LONG))
    put(engine, new_job("delayed", delay=LONG), "waiting")
