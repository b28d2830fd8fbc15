"""What operators do to busy queues, and what the others notice of it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from cabrank.v1 import admin_pb2 as admin
from cabrank.v1.admin_pb2_grpc import AdminServiceStub
from cabrank.v1.job_pb2 import JobState
from cabrank.v1.queue_pb2 import EnqueueRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub

from tests.bench.figure import Figure, median, p99, spread, timed
from tests.bench.filling import fill_failed
from tests.system.stack import Stack, until

_PAUSES = 100
_BULK = 200_000


def pause_holds() -> Iterator[Figure]:
    """Two worker processes under load of short and of longer jobs; PauseQueue and ResumeQueue a hundred times."""
    with Stack(PROBE_QUEUE_CONCURRENCY="16") as stack:
        stack.server()
        stack.workers(processes=2, threads=8)
        operator, queue = AdminServiceStub(stack.channel()), QueueServiceStub(stack.channel())
        over = threading.Event()

        def load() -> None:
            for n in itertools.count():
                if over.is_set():
                    return
                queue.Enqueue(EnqueueRequest(task="probe.mark", payload_json=f'{{"ms":{(0, 0, 5, 40)[n % 4]}}}'))

        spans, took, unconfirmed = [], [], 0
        with ThreadPoolExecutor(2) as pool:
            loads = [pool.submit(load) for _ in range(2)]
            for _ in range(_PAUSES):
                _until_started(stack, 20)
                began = time.monotonic()
                answer = operator.PauseQueue(admin.PauseQueueRequest(queue="probe", reason="measuring"))
                answered = time.monotonic()
                took.append((answered - began) * 1000)
                unconfirmed += answer.unconfirmed
                time.sleep(0.05)
                spans.append((answered, time.monotonic()))
                operator.ResumeQueue(admin.ResumeQueueRequest(queue="probe"))
            over.set()
            for each in loads:
                each.result()
        starts = [line.at for line in stack.ledger() if line.event == "start"]
    during = sum(any(paused <= at <= resumed for paused, resumed in spans) for at in starts)
    yield Figure(
        claim="the queue paused 100 times under load: not one start after an answer",
        measured=f"{during} starts of {len(starts)} while paused, {unconfirmed} unconfirmed; {spread(took, 'ms')}",
        holds=during == 0 and unconfirmed == 0 and len(spans) == _PAUSES,
    )


def bulk_leaves_room() -> Iterator[Figure]:
    """Unary enqueues all the time, one after the other, on the very queue that is worked on."""
    with Stack(CABRANK_TASK_MODULES="tests.bench.tasks", LISTED_QUEUE_CONCURRENCY="1") as stack:
        stack.server()
        fill_failed(stack.engine, "listed", 2 * _BULK)
        operator = AdminServiceStub(stack.channel())
        clean = admin.CleanQueueRequest(queue="listed", state=JobState.JOB_STATE_FAILED, limit=_BULK)
        retry = admin.RetryFailedJobsRequest(queue="listed", limit=_BULK)
        for name, verb in (
            ("RetryFailedJobs", lambda: operator.RetryFailedJobs(retry, timeout=120)),
            ("CleanQueue", lambda: operator.CleanQueue(clean, timeout=120)),
        ):
            alone = _enqueue_for(stack, lambda: time.sleep(5))
            before = _failed(operator)
            answers: list[Any] = []
            began = time.monotonic()
            busy = _enqueue_for(stack, partial(_keep, answers, verb))
            seconds = time.monotonic() - began
            (answer,) = answers
            ratio = p99(busy) / p99(alone)
            told = answer.done + getattr(answer, "skipped", 0) + answer.remaining
            yield Figure(
                claim=f"{name} of 200,000 jobs while others enqueue: their p99 at most doubles, the figures add up",
                measured=(
                    f"p99 {p99(alone):.2f} -> {p99(busy):.2f} ms, ratio {ratio:.2f} (median {median(alone):.2f} -> "
                    f"{median(busy):.2f}); {answer.done:,} done in {seconds:.1f} s, "
                    f"{answer.remaining:,} remain of {before:,}"
                ),
                holds=ratio <= 2 and told == before and answer.done == _BULK,
            )


def _until_started(stack: Stack, more: int) -> None:
    """Until so many more jobs have left a trace."""
    enough = len(stack.ledger()) + more
    until(lambda: len(stack.ledger()) > enough, seconds=30)


def _keep(answers: list[Any], verb: Callable[[], Any]) -> None:
    answers.append(verb())


def _enqueue_for(stack: Stack, meanwhile: Callable[[], object]) -> list[float]:
    """How long each enqueue took, in ms, while `meanwhile` went on."""
    queue = QueueServiceStub(stack.channel())
    request = EnqueueRequest(task="listed.job", payload_json="{}")
    times: list[float] = []
    other = threading.Thread(target=meanwhile)
    other.start()
    while other.is_alive():
        times.append(timed(lambda: queue.Enqueue(request)))
    other.join()
    return times


def _failed(operator: AdminServiceStub) -> int:
    return operator.GetQueue(admin.GetQueueRequest(queue="listed")).queue.failed
