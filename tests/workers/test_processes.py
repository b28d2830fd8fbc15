"""The unmodified `dramatiq workers` command, as an operator runs and stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from server.catalog import Payload, Task
from server.engine import admit, look
from server.engine.job import AttemptOutcome, Job, JobState
from tests.system.stack import ROOT, Stack, most_at_once, until
from tests.system.tasks import MARK, Mark
from tests.workers.duty import new_job

QUEUE = MARK.queue
ACTIVE, WAITING, COMPLETED = JobState.ACTIVE, JobState.WAITING, JobState.COMPLETED
PLENTY = {"PROBE_QUEUE_CONCURRENCY": "1000"}


class Works(Stack):
    """A stack whose jobs come from the test, and which ends without ceremony."""

    def start(self, name: str, *argv: str, **environment: str) -> subprocess.Popen[bytes]:
        process = super().start(name, *argv, **environment)
        self._started.append(process)
        return process

    def __enter__(self) -> Works:
        self._started: list[subprocess.Popen[bytes]] = []
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        super().__exit__(*exception)

    def enqueue(self, count: int, *, ms: int = 0) -> list[str]:
        jobs = [new_job(MARK, Mark(ms=ms)) for _ in range(count)]
        self.engine.run(admit.enqueue(QUEUE, jobs))
        return [job.id for job in jobs]

    def counts(self) -> dict[JobState, int]:
        """States without jobs are left out."""
        return {state: count for state, count in self.engine.run(look.stats(QUEUE)).jobs.items() if count}

    def job(self, job_id: str) -> Job:
        return self.engine.run(admit.get(QUEUE, job_id))

    def ran(self, event: str = "start") -> list[str]:
        return [line.job_id for line in self.ledger() if line.event == event]

    def pids(self) -> set[int]:
        return {line.pid for line in self.ledger()}


@pytest.fixture
def works() -> Iterator[Works]:
    with Works(**PLENTY) as works:
        yield works


def command(**environment: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, with no settings but these."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "dramatiq", "workers", "-p", "1", "-t", "1"],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Starting


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "cabrank: workers need a Redis: set REDIS_URL or REDIS_HOST"),
        ({"REDIS_URL": "redis://127.0.0.1:99999"}, "cabrank: REDIS_URL must give ports as numbers up to 65535"),
        ({"EMAIL_QUEUE_CONCURRENCY": "many"}, "cabrank: EMAIL_QUEUE_CONCURRENCY"),
    ],
    ids=["no redis", "wrong url", "wrong setting"],
)
def test_what_cannot_work_ends_with_a_sentence(environment: dict[str, str], sentence: str) -> None:
    ended = command(**environment)

    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


OUTSIDE = """
import pathlib

import dramatiq

from server.catalog import JobContext, Payload, Task, handler


class Copy(Payload, frozen=True):
    text: str


COPY = Task(name="outside.copy", queue="outside", payload=Copy)


@handler(COPY)
async def copy(payload: Copy, job: JobContext) -> str:
    return payload.text


@dramatiq.actor(queue_name="outside")
def add(x, y):
    return x + y
"""


class Copy(Payload, frozen=True):
    text: str


def test_tasks_and_actors_of_a_module_outside_this_repository_run(works: Works, tmp_path: Path) -> None:
    (tmp_path / "outside_tasks.py").write_text(OUTSIDE)
    task: Task[Any] = Task(name="outside.copy", queue="outside", payload=Copy)
    plain: Task[Any] = Task(name="add", queue="outside", payload=Copy)
    jobs = [new_job(task, Copy(text="ä")), new_job(plain, b'{"args": [1], "kwargs": {"y": 2}}')]

    works.workers(CABRANK_TASK_MODULES="outside_tasks", PYTHONPATH=str(tmp_path))
    works.engine.run(admit.enqueue("outside", jobs))

    until(lambda: works.engine.run(look.stats("outside"))[COMPLETED] == 2)
    assert [works.engine.run(admit.get("outside", job.id)).result for job in jobs] == ['"ä"'.encode(), b"3"]


def test_workers_wait_for_a_redis_that_is_not_there_yet(works: Works) -> None:
    (job_id,) = works.enqueue(1)
    works.redis.stop()
    works.workers()
    until(lambda: "no jobs to be had" in works.log("workers"))

    works.redis.restart()

    until(lambda: works.counts() == {COMPLETED: 1})
    assert works.ran() == [job_id]


# Stopping


def test_sigterm_hands_back_what_has_not_started_and_lets_the_rest_finish(works: Works) -> None:
    workers = works.workers(threads=2)
    # So many that the worker holds jobs in stock.
    works.enqueue(50)
    until(lambda: works.counts() == {COMPLETED: 50})
    works.enqueue(2, ms=3500)
    until(lambda: len(works.ran()) == 52)
    works.enqueue(20)
    until(lambda: works.counts().get(ACTIVE, 0) > 2)

    workers.send_signal(signal.SIGTERM)

    until(lambda: works.counts() == {COMPLETED: 50, ACTIVE: 2, WAITING: 20}, seconds=3)
    assert workers.wait(20) == 0
    assert works.counts() == {COMPLETED: 52, WAITING: 20}
    assert len(works.ran("end")) == 52


def test_a_second_sigterm_ends_at_once(works: Works) -> None:
    workers = works.workers(threads=2)
    works.enqueue(1, ms=60_000)
    until(lambda: len(works.ran()) == 1)

    workers.send_signal(signal.SIGTERM)
    until(lambda: "Stopping worker process" in works.log("workers"))
    workers.send_signal(signal.SIGTERM)

    assert workers.wait(10) == 1


def test_the_jobs_of_a_killed_worker_are_run_by_another(works: Works) -> None:
    first = works.workers(threads=20, CABRANK_LEASE_SECONDS="1")
    jobs = works.enqueue(20, ms=1500)
    until(lambda: len(works.ran()) == 20)

    (pid,) = works.pids()
    os.kill(pid, signal.SIGKILL)
    assert first.wait(20) != 0
    works.workers(threads=20, CABRANK_LEASE_SECONDS="1")

    until(lambda: works.counts() == {COMPLETED: 20})
    assert sorted(works.ran()) == sorted([*jobs, *jobs])
    for job in map(works.job, jobs):
        assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.LOST, AttemptOutcome.COMPLETED]
        assert (job.spent.lost, job.spent.failures) == (1, 0)


def test_a_frozen_worker_starts_nothing_that_another_has_run_meanwhile(works: Works) -> None:
    """When it comes to, it has jobs in stock and has not heard yet that their leases are lost."""
    works.workers(threads=8, CABRANK_LEASE_SECONDS="2")
    # So many that the worker holds jobs in stock.
    works.enqueue(100)
    until(lambda: works.counts() == {COMPLETED: 100})
    (pid,) = works.pids()
    works.enqueue(8, ms=400)
    until(lambda: len(works.ran()) == 108)
    stock = works.enqueue(40)
    until(lambda: works.counts().get(ACTIVE, 0) > 8)

    os.kill(pid, signal.SIGSTOP)
    works.workers(threads=8, CABRANK_LEASE_SECONDS="2")
    until(lambda: works.counts() == {COMPLETED: 148})
    os.kill(pid, signal.SIGCONT)

    fresh: list[str] = []

    def at_work_again() -> bool:
        fresh.extend(works.enqueue(2, ms=20))
        return any(line.pid == pid and line.job_id in fresh for line in works.ledger())

    until(at_work_again, every=0.05)
    assert sorted(job_id for job_id in works.ran() if job_id in stock) == sorted(stock)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_worker_processes_end_when_their_command_is_killed(works: Works) -> None:
    workers = works.workers(processes=2, threads=4)
    works.enqueue(4, ms=500)
    works.enqueue(50)
    until(lambda: len(works.pids()) == 2)

    workers.kill()

    until(lambda: not any(alive(pid) for pid in works.pids()), seconds=20)
    assert works.counts().get(ACTIVE, 0) == 0
    assert sorted(works.ran("start")) == sorted(works.ran("end"))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# Working


def test_two_processes_together_never_run_more_than_the_queue_allows(works: Works) -> None:
    works.workers(processes=2, threads=8, PROBE_QUEUE_CONCURRENCY="2")
    works.enqueue(60, ms=20)

    until(lambda: works.counts() == {COMPLETED: 60})

    assert most_at_once(works.ledger()) == 2
    assert len(works.pids()) == 2


def test_a_restart_of_redis_loses_nothing(works: Works) -> None:
    works.workers(threads=8)
    jobs = works.enqueue(200, ms=10)
    until(lambda: len(works.ran("end")) > 40)

    works.redis.restart()

    until(lambda: works.counts() == {COMPLETED: 200})
    assert sorted(works.ran()) == sorted(jobs)


def test_each_end_of_a_job_is_one_line_of_the_log(works: Works) -> None:
    works.workers()
    jobs = works.enqueue(5)
    until(lambda: works.counts() == {COMPLETED: 5})

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in works.log("workers").splitlines() if "probe job" in line]

    until(lambda: len(lines()) == 5)
    assert {(line["event"], line["level"]) for line in lines()} == {("probe job completed", "info")}
    assert sorted(line["job_id"] for line in lines()) == sorted(jobs)
    assert '"event": "worker created: email (concurrency: 5)"' in works.log("workers")
