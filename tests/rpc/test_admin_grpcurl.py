"""An operator with nothing but grpcurl: every operation that the BullMQ guide lists, from the request that is typed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from server.engine.job import JobState
from server.engine.work import attend
from tests.admin.hands import numbered, place
from tests.engine.hands import ERROR, EXHAUSTED, QUEUE, Worker, completed, new_job
from tests.rpc.conftest import Door
from tests.rpc.test_server import grpcurl, needs_grpcurl

pytestmark = needs_grpcurl
Operator = Callable[[str, str], Awaitable[dict[str, Any]]]


@pytest.fixture
def operator(door: Door) -> Operator:
    """Types a request and reads the answer."""

    async def call(rpc: str, request: str) -> dict[str, Any]:
        code, said = await grpcurl("-d", request, door.address, f"cabrank.v1.AdminService/{rpc}")
        assert code == 0, said
        answer: dict[str, Any] = json.loads(said)
        return answer

    return call


async def test_an_operator_finds_the_failing_job_reads_why_retries_it_and_sees_it_complete(
    operator: Operator, worker: Worker
) -> None:
    worker.engine.run(attend(QUEUE, worker.name, tasks=["email.welcome"], threads=8, started_at=datetime.now(UTC)))
    place(worker, JobState.FAILED, numbered(11))

    health = await operator("GetHealth", "{}")
    assert (health.get("healthy", False), health["issues"]) == (False, ["email: 11 failed jobs"])

    page = await operator("ListJobs", '{"queue": "email", "state": "JOB_STATE_FAILED", "page_size": 1}')
    (listed,) = page["jobs"]
    assert (page["total"], listed["failure"]["message"]) == (11, EXHAUSTED.message)

    name = f'"queue": "email", "job_id": "{listed["id"]}"'
    job = (await operator("GetJob", f"{{{name}}}"))["job"]
    assert (job["attempts"][0]["error"]["message"], job["attempts"][0]["error"]["stack_trace"]) == (
        ERROR.message,
        ERROR.stack_trace,
    )

    retried = (await operator("RetryJob", f"{{{name}}}"))["job"]
    assert (retried["state"], retried["retries"]) == ("JOB_STATE_WAITING", 1)
    told = await operator("GetJob", f'{{{name}, "explain": true}}')
    assert [reason["message"] for reason in told["wait_reasons"]] == ["it is the next in line"]

    worker.engine.run(completed(worker.take_one(), result=b'{"sent": true}'))
    job = (await operator("GetJob", f"{{{name}}}"))["job"]
    assert (job["state"], job["result_json"], len(job["attempts"])) == ("JOB_STATE_COMPLETED", '{"sent": true}', 2)
    assert (await operator("GetHealth", "{}"))["healthy"]


async def test_every_operation_of_the_guide_is_one_call(operator: Operator, worker: Worker) -> None:
    """On a queue with jobs in every state."""
    for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.DELAYED, JobState.WAITING):
        place(worker, state, [new_job(each) for each in numbered(4, name=state)])

    assert (await operator("GetHealth", "{}"))["stats"]["email"]["failed"] == 4
    assert "email" in [queue["name"] for queue in (await operator("ListQueues", "{}"))["queues"]]
    assert (await operator("GetQueue", '{"queue": "email"}'))["queue"]["total"] == 20
    for name in ("COMPLETED", "FAILED", "CANCELLED", "DELAYED", "WAITING"):
        listed = await operator("ListJobs", f'{{"queue": "email", "state": "JOB_STATE_{name}"}}')
        assert len(listed["jobs"]) == 4
    assert (await operator("GetJob", '{"queue": "email", "job_id": "delayed-00000"}'))["job"]["run_time"]
    await operator("RetryJob", '{"queue": "email", "job_id": "failed-00000"}')
    await operator("RemoveJob", '{"queue": "email", "job_id": "failed-00001"}')
    await operator("PromoteJob", '{"queue": "email", "job_id": "delayed-00000"}')
    paused = await operator("PauseQueue", '{"queue": "email", "reason": "SMTP moves"}')
    assert (paused["queue"]["paused"], paused["queue"]["pause_reason"]) == (True, "SMTP moves")
    assert "paused" not in (await operator("ResumeQueue", '{"queue": "email"}'))["queue"]
    assert await operator("CleanQueue", '{"queue": "email", "older_than": "3600s"}') == {}
    assert await operator("CleanQueue", '{"queue": "email"}') == {"done": 4}
    assert await operator("RetryFailedJobs", '{"queue": "email", "limit": 1}') == {"done": 1, "remaining": 1}
    assert await operator("PurgeQueue", '{"queue": "email"}') == {"done": 10}
    updated = await operator("UpdateQueue", '{"queue": "email", "concurrency": 9, "health": {"failed": 50}}')
    assert updated["queue"]["settings"]["updated"] == ["concurrency", "health"]
    assert (await operator("ListWorkers", "{}"))["workers"][0]["name"] == worker.name


async def test_a_refusal_says_what_to_do(door: Door, worker: Worker) -> None:
    place(worker, JobState.WAITING, ["a"])

    _, said = await grpcurl("-d", '{"queue": "email", "job_id": "a"}', door.address, "cabrank.v1.AdminService/RetryJob")

    assert "job a is waiting" in said
    assert '"reason":"JOB_STATE"' in said
