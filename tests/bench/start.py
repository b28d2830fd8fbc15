"""How soon, and in what order, jobs start."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from cabrank.v1.queue_pb2 import EnqueueRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub
from google.protobuf.duration_pb2 import Duration

from server.engine import admit, look
from server.engine.job import JobState, NewJob
from server.engine.names import new_job_id
from tests.bench.figure import Figure, spread
from tests.system.stack import Stack, most_at_once, until

_JOBS = 200
_DELAYED = 100_000


def idle_queue_starts() -> Iterator[Figure]:
    """From the enqueue's answer to the first line of the actor, at moments that chance chose."""
    with Stack() as stack:
        stack.server()
        stack.workers()
        queue = QueueServiceStub(stack.channel())
        answered = {}
        for _ in range(_JOBS):
            time.sleep(random.uniform(0.01, 0.3))
            job = queue.Enqueue(EnqueueRequest(task="probe.mark", payload_json="{}")).job
            answered[job.id] = time.monotonic()
        until(lambda: len(stack.ledger()) == 2 * _JOBS)
        waits = [(line.at - answered[line.job_id]) * 1000 for line in stack.ledger() if line.event == "start"]
    yield Figure(
        claim="an idle queue starts a job within 20 ms (median) of the enqueue's answer",
        measured=spread(waits, "ms"),
        holds=statistics.median(waits) < 20,
    )


def concurrency_holds() -> Iterator[Figure]:
    """Two processes of eight threads, and a limit of two over both."""
    with Stack(PROBE_QUEUE_CONCURRENCY="2") as stack:
        stack.server()
        stack.workers(processes=2, threads=8)
        jobs = [_mark(ms=random.randrange(1, 40)) for _ in range(_JOBS)]
        stack.engine.run(admit.enqueue("probe", jobs))
        until(lambda: len(stack.ledger()) == 2 * _JOBS, seconds=60)
        ledger = stack.ledger()
    most, processes = most_at_once(ledger), len({line.pid for line in ledger})
    yield Figure(
        claim="with a concurrency of 2, two processes of 8 threads never run more than 2 jobs",
        measured=f"at most {most} at once, {len(ledger) // 2} jobs, {processes} processes took part",
        holds=most == 2,
    )


def delayed_jobs_wait_in_redis() -> Iterator[Figure]:
    """One job due in ten days, a hundred thousand ahead of one that is due in a moment."""
    with Stack() as stack:
        stack.server()
        worker = stack.workers()
        until(lambda: _resident(worker.pid) > 0)
        before = _resident(worker.pid)
        queue = QueueServiceStub(stack.channel())
        far = queue.Enqueue(
            EnqueueRequest(task="probe.mark", payload_json="{}", delay=Duration(seconds=10 * 24 * 3600))
        ).job
        for _ in range(_DELAYED // 1000):
            stack.engine.run(
                admit.enqueue("probe", [_mark(delay=timedelta(minutes=random.randrange(10, 600))) for _ in range(1000)])
            )
        soon = queue.Enqueue(EnqueueRequest(task="probe.mark", payload_json="{}", delay=Duration(seconds=3))).job
        due = time.monotonic() + 3
        until(lambda: bool(stack.ledger()), seconds=30)
        (start, *_) = stack.ledger()
        late = (start.at - due) * 1000
        grown = _resident(worker.pid) - before
        counts = stack.engine.run(look.stats("probe"))
    yield Figure(
        claim="behind 100,000 delayed jobs a due one starts on time",
        measured=f"{late:.0f} ms after it was due; {counts[JobState.DELAYED]} still delayed",
        holds=start.job_id == soon.id and abs(late) < 250 and counts[JobState.DELAYED] == _DELAYED + 1,
    )
    wait = far.run_time.ToDatetime() - far.create_time.ToDatetime()
    yield Figure(
        claim="a delay of 10 days is kept, and worker memory does not grow with delayed jobs",
        measured=f"due after {wait}; workers grew by {grown / 1024:.1f} MB",
        holds=wait == timedelta(days=10) and grown < 20 * 1024,
    )


def _mark(*, ms: int = 0, delay: timedelta = timedelta(0)) -> NewJob:
    return NewJob(queue="probe", id=new_job_id(), task="probe.mark", payload=b'{"ms":%d}' % ms, delay=delay)


def _resident(pid: int) -> int:
    """KiB of a process and those below it (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text()
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return own + sum(_resident(int(child)) for child in children)
