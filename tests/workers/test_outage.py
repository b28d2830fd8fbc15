"""Redis goes away and comes back while a worker is on duty: nothing is lost, nothing runs twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dramatiq.errors import ConnectionClosed
from structlog.testing import capture_logs

from server.catalog import JobContext, Snooze, handler
from server.dev.valkey import EmbeddedServer
from server.engine import look
from server.engine.engine import Engine
from server.engine.errors import BackendUnavailable
from server.engine.job import JobState
from server.engine.store import Store
from tests.conftest import raw_client
from tests.workers.duty import QUEUE, Duty, Probe, new_job, probe, until
from workers.outage import reasons

LOOK = probe()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One that a test may stop: it keeps its data."""
    folder: Path = tmp_path_factory.mktemp("v")
    with EmbeddedServer.start(folder) as server:
        yield server


def away(duty: Duty) -> bool:
    return all(queue in duty.shift._keeper._silent for queue in duty.shift.holdings.of_queues())


def test_results_are_kept_while_redis_is_away_and_told_when_it_is_back(own_server: EmbeddedServer) -> None:
    inside, opened = threading.Semaphore(0), threading.Event()
    runs: list[str] = []

    @handler(LOOK)
    def wait(payload: Probe, job: JobContext) -> int:
        runs.append(job.id)
        inside.release()
        assert opened.wait(20)
        if payload.n == 1:
            raise Snooze(timedelta(milliseconds=1))
        if payload.n == 2 and job.attempt == 1:
            raise ValueError("again")
        return payload.n

    with Duty(own_server, wait, threads=4).start() as duty:
        jobs = duty.enqueue_all([new_job(LOOK, Probe(n=n)) for n in (0, 2, 3, 4)])
        for _ in jobs:
            assert inside.acquire(timeout=20)

        own_server.stop()
        opened.set()
        until(lambda: duty.shift.settler._untold == 4)
        until(lambda: away(duty))
        own_server.restart()

        results = [duty.when(job_id).result for job_id in jobs]
        assert results == [b"0", b"2", b"3", b"4"]
        assert sorted(runs) == sorted([*jobs, jobs[1]])
        duty.settled()


def test_jobs_go_on_when_redis_is_back(own_server: EmbeddedServer) -> None:
    runs: list[str] = []

    @handler(LOOK)
    def note(_: Probe, job: JobContext) -> None:
        runs.append(job.id)
        time.sleep(0.001)

    with Duty(own_server, note, threads=4).start() as duty:
        jobs = duty.enqueue_all([new_job(LOOK) for _ in range(1000)])
        until(lambda: len(runs) > 100)
        own_server.restart()

        duty.all_in(JobState.COMPLETED, 1000)
        assert sorted(runs) == sorted(jobs)
        duty.settled()


def test_a_worker_that_starts_while_redis_is_away_waits_for_it(own_server: EmbeddedServer) -> None:
    @handler(LOOK)
    def run(_: Probe, _job: JobContext) -> None: ...

    with Duty(own_server, run) as duty:
        job_id = duty.enqueue(LOOK)
        own_server.stop()
        duty.start()
        assert duty.worker is not None
        consumers = duty.worker.consumers.values()
        until(lambda: all(getattr(thread.consumer, "_away", False) for thread in consumers))
        own_server.restart()

        assert duty.when(job_id).state is JobState.COMPLETED


def test_a_shutdown_while_redis_is_away_is_a_matter_of_seconds(
    own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.shift._LAST_WORDS_SECONDS", 0.5)
    inside = threading.Semaphore(0)
    opened = threading.Event()

    @handler(LOOK)
    def wait(_: Probe, _job: JobContext) -> None:
        inside.release()
        assert opened.wait(20)

    with Duty(own_server, wait, threads=2).start() as duty:
        duty.enqueue(LOOK)
        assert inside.acquire(timeout=20)
        own_server.stop()
        opened.set()
        shift = duty.shift

        begun = time.monotonic()
        with capture_logs() as lines:
            duty.stop()

        assert time.monotonic() - begun < 10
        assert not shift.settler._thread.is_alive()
        own_server.restart()
    about_jobs = [line for line in lines if "results not told" in line["event"] or "probe job" in line["event"]]
    assert [(line["event"], line["jobs"]) for line in about_jobs] == [
        ("results not told: their jobs will run again", 1)
    ]


def test_sending_while_redis_is_away_is_refused(own_server: EmbeddedServer) -> None:
    @handler(LOOK)
    def run(_: Probe, _job: JobContext) -> None: ...

    with Duty(own_server, run) as duty:
        own_server.stop()

        with pytest.raises(ConnectionClosed, match="cannot be reached"):
            duty.broker.get_actor(LOOK.name).send({"n": 1})


def swept(server: EmbeddedServer) -> bool:
    """Whether anybody has looked for lost leases yet: only then a pause in that can be noticed."""
    with raw_client(server) as raw:
        return bool(raw.hexists(f"cabrank:{{{QUEUE}}}:meta", "swept"))


def test_an_outage_that_outlasts_the_leases_makes_no_job_run_twice(own_server: EmbeddedServer) -> None:
    """When Redis is back, the living get time to extend before anything is taken from them."""
    inside = threading.Semaphore(0)
    opened = threading.Event()
    runs: list[str] = []

    @handler(LOOK)
    def wait(_: Probe, job: JobContext) -> None:
        runs.append(job.id)
        inside.release()
        assert opened.wait(20)

    with Duty(own_server, wait, threads=4, lease=timedelta(seconds=2)).start() as duty:
        jobs = duty.enqueue_all([new_job(LOOK) for _ in range(4)])
        for _ in jobs:
            assert inside.acquire(timeout=20)
        until(lambda: swept(own_server))
        own_server.stop()
        until(lambda: away(duty))
        ends = time.monotonic() + 2.5
        until(lambda: time.monotonic() > ends)
        own_server.restart()
        until(lambda: not duty.shift._keeper._silent)
        opened.set()

        duty.all_in(JobState.COMPLETED, 4)
        assert sorted(runs) == sorted(jobs)


def test_what_is_said_of_an_outage_names_its_cause_and_no_password(valkey: EmbeddedServer) -> None:
    path = Store.parse(valkey.url).path
    with (
        Engine(Store.parse(f"unix://ada:hunter2@{path}")) as engine,
        pytest.raises(BackendUnavailable) as refused,
    ):
        engine.run(look.stats(QUEUE))

    said = reasons(refused.value)

    assert said["reason"] == str(BackendUnavailable())
    assert said["cause"].startswith("AuthenticationError: ")
    assert "hunter2" not in said["cause"]
