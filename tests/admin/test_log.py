"""What operators did stands in the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from structlog.testing import capture_logs

from server.admin import Admin
from server.admin.bulk import NOT_STARTED, Selection
from server.engine.job import JobState
from server.engine.overrides import Overrides
from tests.admin.hands import ALL, place
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, new_job, put


async def test_every_change_leaves_a_line(admin: Admin, worker: Worker, clock: Clock) -> None:
    place(worker, JobState.FAILED, ["one", "two", "three"])
    put(worker.engine, new_job("later", delay=timedelta(hours=1)))
    end = clock.now + timedelta(hours=1)

    with capture_logs() as logged:
        await admin.queues.pause(QUEUE, "SMTP moves", until=end, seconds=ALL)
        await admin.queues.resume(QUEUE)
        await admin.queues.update(QUEUE, Overrides(concurrency=3), reset=["health"])
        await admin.jobs.retry(QUEUE, "one")
        await admin.jobs.promote(QUEUE, "later")
        await admin.jobs.remove(QUEUE, "one")
        await admin.bulk.retry_failed(QUEUE, Selection(limit=1), seconds=ALL)
        await admin.bulk.clean(QUEUE, Selection(), state=JobState.FAILED, seconds=ALL)
        await admin.bulk.purge(QUEUE, Selection(), seconds=ALL)

    assert [_without_usual(line) for line in logged] == [
        {"event": "queue paused", "reason": "SMTP moves", "until": end.isoformat()},
        {"event": "queue resumed"},
        {"event": "queue updated", "changes": {"concurrency": 3}, "reset": ["health"]},
        {"event": "job retried", "job_id": "one"},
        {"event": "job promoted", "job_id": "later"},
        {"event": "job removed", "job_id": "one"},
        {"event": "failed jobs retried", "task": "", "limit": 1, "done": 1, "skipped": 0, "remaining": 1},
        {"event": "queue cleaned", "state": "failed", "limit": 0, "done": 1, "skipped": 0, "remaining": 0},
        {"event": "queue purged", "states": [*NOT_STARTED], "limit": 0, "done": 2, "skipped": 0, "remaining": 0},
    ]


async def test_what_only_counts_leaves_none(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, ["one"])

    with capture_logs() as logged:
        await admin.bulk.retry_failed(QUEUE, Selection(dry_run=True), seconds=ALL)

    assert logged == []


def _without_usual(line: Any) -> dict[str, Any]:
    assert (line["queue"], line["log_level"]) == (QUEUE, "info")
    return {name: value for name, value in line.items() if name not in ("queue", "log_level", "older_than_seconds")}
