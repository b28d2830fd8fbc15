"""Prometheus, the rules and a running stack together: the right alert fires, and goes out again."""

from __future__ import annotations

import os
import signal

from tests.deploy.monitoring import needs_prometheus
from tests.deploy.prometheus import Watch
from tests.engine.hands import Worker, failed, put
from tests.system.stack import until

pytestmark = needs_prometheus


def test_too_many_failed_jobs_raise_the_alert_of_their_queue(watch: Watch) -> None:
    engine = watch.stack.engine
    put(engine, *(f"j{number}" for number in range(11)))
    engine.run(failed(*Worker(engine).take()))

    until(lambda: bool(watch.firing("CabrankFailedJobs")), seconds=60, every=0.2)

    assert watch.firing("CabrankFailedJobs") == [
        {"alertname": "CabrankFailedJobs", "job": "cabrank", "queue": "email", "severity": "warning"}
    ]


def test_workers_raise_an_alert_when_they_are_killed_and_not_while_they_are_there(watch: Watch) -> None:
    """Killed, they say nothing: they are gone when nobody has heard of them for 15 s."""
    until(lambda: _queues(watch) == {"email", "probe"}, seconds=60, every=0.2)

    workers = watch.stack.workers()
    until(lambda: _queues(watch) == set(), seconds=60, every=0.2)
    os.killpg(workers.pid, signal.SIGKILL)

    until(lambda: _queues(watch) == {"email", "probe"}, seconds=60, every=0.2)


def _queues(watch: Watch) -> set[str]:
    """Those that miss workers."""
    return {labels["queue"] for labels in watch.firing("CabrankNoWorkers")}
