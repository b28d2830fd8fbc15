"""The judgement: which thresholds a queue has passed, in the words that people and their alerts know."""

from __future__ import annotations

import pytest

from server.admin import Admin
from server.admin.health import Issue, IssueKind
from server.dev.valkey import EmbeddedServer
from server.engine.job import JobState
from server.engine.overrides import Overrides
from server.engine.work import attend
from tests.admin.hands import numbered, opened, place
from tests.conftest import Clock
from tests.engine.hands import LEASE, QUEUE, Worker, put


@pytest.fixture
def manned(worker: Worker, clock: Clock) -> None:
    """Somebody works for every queue that has tasks."""
    man(worker, clock)


def man(worker: Worker, clock: Clock) -> None:
    worker.engine.run(attend(QUEUE, "w1", tasks=["email.welcome"], threads=1, started_at=clock.now))


async def issues(admin: Admin) -> list[str]:
    health = await admin.queues.health()
    return [str(issue) for issue in health.issues if issue.queue == QUEUE]


@pytest.mark.usefixtures("manned")
async def test_up_to_its_thresholds_a_queue_is_healthy(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, numbered(10))
    put(worker.engine, *numbered(100, "waiting"))

    assert await issues(admin) == []
    assert (await admin.queues.health()).healthy


async def test_every_issue_is_told_in_the_words_that_are_known(admin: Admin, clock: Clock, worker: Worker) -> None:
    place(worker, JobState.FAILED, numbered(150))
    place(worker, JobState.ACTIVE, numbered(3, "stalled"))
    for at in range(2):
        put(worker.engine, *numbered(600, f"waiting{at}"))
    clock.advance(LEASE)
    clock.advance(seconds=1)

    health = await admin.queues.health()

    assert not health.healthy
    assert await issues(admin) == [
        "email: 150 failed jobs",
        "email: 1200 waiting jobs",
        "email: 3 stalled jobs",
        "email: no workers",
    ]
    assert [issue for issue in health.issues if issue.queue == QUEUE] == [
        Issue(queue=QUEUE, kind=IssueKind.FAILED, observed=150, threshold=10),
        Issue(queue=QUEUE, kind=IssueKind.WAITING, observed=1200, threshold=100),
        Issue(queue=QUEUE, kind=IssueKind.STALLED, observed=3, threshold=0),
        Issue(queue=QUEUE, kind=IssueKind.WORKERS, observed=0, threshold=1),
    ]


@pytest.mark.usefixtures("manned")
async def test_a_single_job_is_told_as_one(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, ["a"])
    await admin.queues.update(QUEUE, Overrides(healthy_failed=0), reset=[])

    assert await issues(admin) == ["email: 1 failed job"]


async def test_thresholds_are_settings_for_all_queues_and_for_each_and_operators_have_the_last_word(
    valkey: EmbeddedServer, clock: Clock, worker: Worker
) -> None:
    place(worker, JobState.FAILED, numbered(5))
    man(worker, clock)
    async with opened(valkey, clock, EMAIL_QUEUE_HEALTHY_FAILED="4") as admin:
        assert await issues(admin) == ["email: 5 failed jobs"]

        await admin.queues.update(QUEUE, Overrides(healthy_failed=5), reset=[])
        assert await issues(admin) == []

        await admin.queues.update(QUEUE, Overrides(), reset=["health"])
        assert await issues(admin) == ["email: 5 failed jobs"]


async def test_a_worker_that_has_been_silent_is_none(admin: Admin, clock: Clock, worker: Worker) -> None:
    man(worker, clock)
    clock.advance(seconds=15)
    assert await issues(admin) == []

    clock.advance(milliseconds=1)
    assert await issues(admin) == ["email: no workers"]


async def test_nobody_is_missed_where_no_worker_is_needed(admin: Admin) -> None:
    assert await issues(admin) == ["email: no workers"]

    await admin.queues.update(QUEUE, Overrides(needs_workers=False), reset=[])

    assert await issues(admin) == []


async def test_a_queue_without_tasks_misses_nobody_while_it_is_empty(admin: Admin) -> None:
    """The catalog knows `sync`, and no task of it yet."""
    health = await admin.queues.health()

    assert [(issue.queue, issue.kind) for issue in health.issues] == [(QUEUE, IssueKind.WORKERS)]
    assert not next(queue for queue in health.queues if queue.name == "sync").has_tasks
