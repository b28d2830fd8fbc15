"""A filter that names no task is refused: matching nothing would look like good news."""

from __future__ import annotations

import pytest

from server.admin import Admin
from server.admin.bulk import Selection
from server.admin.listing import Listing
from server.catalog import TaskNotFound
from server.engine.job import JobState
from tests.admin.hands import ALL
from tests.engine.hands import QUEUE, Worker, new_job, put


def listing(task: str) -> Listing:
    return Listing(queue=QUEUE, state=JobState.WAITING, task=task)


async def test_a_misspelt_task_is_refused_and_the_nearest_is_told(admin: Admin) -> None:
    with pytest.raises(TaskNotFound, match=r"did you mean email\.welcome"):
        await admin.jobs.page(listing("email.welcom"))
    with pytest.raises(TaskNotFound, match=r"did you mean email\.welcome"):
        await admin.bulk.retry_failed(QUEUE, Selection(), task="email.welcom", seconds=ALL)


async def test_a_task_of_the_catalog_may_be_asked_for_before_it_had_a_job(admin: Admin) -> None:
    assert (await admin.jobs.page(listing("email.welcome"))).jobs == []


async def test_a_task_that_only_the_queue_knows_may_be_asked_for(admin: Admin, worker: Worker) -> None:
    """Plain Dramatiq actors are in no catalog."""
    put(worker.engine, new_job("a", task="resize_image"))

    assert [job.id for job in (await admin.jobs.page(listing("resize_image"))).jobs] == ["a"]
