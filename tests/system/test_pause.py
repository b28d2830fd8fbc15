"""Pause under load, with real worker processes: after the answer nothing starts, and nothing is lost or run twice.

`CABRANK_TEST_PAUSES=100` says how often; each pause is timed, and `-s` shows how long they took.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from server.engine import admit, look, steer
from server.engine.engine import Engine
from server.engine.job import JobState
from tests.system.stack import Stack, until
from tests.system.tasks import MARK, MARK_ASYNC, Mark
from tests.workers.duty import new_job

PAUSES = int(os.environ.get("CABRANK_TEST_PAUSES", "5"))
QUEUE = MARK.queue
PROCESSES = 2
BACKLOG = 300  # jobs that wait, at least

# One in ten takes its time: so workers hold jobs in stock and have others that run for long. A third is asynchronous.
LOAD = [(MARK_ASYNC if n % 3 == 0 else MARK, 300 if n % 10 == 5 else n % 4) for n in range(100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Moments, in seconds by the monotonic clock."""

    asked: float
    answered: float
    resumed: float

    @property
    def took(self) -> float:
        return self.answered - self.asked


@contextmanager
def load(engine: Engine) -> Iterator[list[str]]:
    """Keeps jobs waiting until it ends; those that were enqueued."""
    enqueued: list[str] = []
    ending = threading.Event()

    def feed() -> None:
        while not ending.wait(0.01):
            if engine.run(look.stats(QUEUE))[JobState.WAITING] < BACKLOG:
                jobs = [new_job(task, Mark(ms=ms)) for task, ms in LOAD]
                engine.run(admit.enqueue(QUEUE, jobs))
                enqueued.extend(job.id for job in jobs)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield enqueued
    finally:
        ending.set()
        feeder.join(20)


def pause(engine: Engine) -> Pause:
    """As the server does it. Lasts until all that ran is over and each worker was heard of again, and got nothing."""
    asked = time.monotonic()
    engine.run(steer.pause(QUEUE))
    until(lambda: engine.run(steer.unstarted(QUEUE)) == 0, seconds=10)
    answered = time.monotonic()
    at = engine.run(look.stats(QUEUE)).at

    def quiet() -> bool:
        crew = engine.run(look.crew(QUEUE))
        heard_of = sum(worker.seen_at > at for worker in crew)
        return heard_of == PROCESSES and engine.run(look.stats(QUEUE))[JobState.ACTIVE] == 0

    until(quiet)
    resumed = time.monotonic()
    engine.run(steer.resume(QUEUE))
    return Pause(asked=asked, answered=answered, resumed=resumed)


def at_work(stack: Stack) -> None:
    """Waits until some more jobs have started."""
    size = stack.ledger_path.stat().st_size if stack.ledger_path.exists() else 0
    until(lambda: stack.ledger_path.exists() and stack.ledger_path.stat().st_size > size + 10_000)


@pytest.mark.timeout(120 + 10 * PAUSES)
def test_not_one_job_starts_between_the_answer_and_the_resumption() -> None:
    with Stack(PROBE_QUEUE_CONCURRENCY="1000") as stack:
        engine = stack.engine
        stack.workers(processes=PROCESSES, threads=8)
        pauses = []
        with load(engine) as enqueued:
            for _ in range(PAUSES):
                at_work(stack)
                pauses.append(pause(engine))
        until(lambda: engine.run(look.stats(QUEUE))[JobState.COMPLETED] == len(enqueued), seconds=60)
        starts = [line for line in stack.ledger() if line.event == "start"]

    took = [each.took * 1000 for each in pauses]
    print(f"\n{len(took)} pauses, {len(starts)} jobs: median {statistics.median(took):.0f} ms, max {max(took):.0f} ms")
    assert [line for line in starts for each in pauses if each.answered < line.at < each.resumed] == []
    assert len({line.pid for line in starts}) == PROCESSES
    assert sorted(line.job_id for line in starts) == sorted(enqueued), "each job once"
