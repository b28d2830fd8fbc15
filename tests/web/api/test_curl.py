"""Each of the eleven operations as the guide's readers type it, on a queue with jobs in every state."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from server.engine.engine import Engine
from tests.engine.hands import ERROR, PAYLOAD, Worker, look, put, state
from tests.web.api.hands import LONG, STATES, fill
from tests.web.conftest import QUEUES, Site

FIGURES = ("waiting", "active", "completed", "failed", "delayed")


@dataclass(frozen=True, kw_only=True)
class Shell:
    """curl, and the engine behind it."""

    site: Site
    engine: Engine

    async def curl(self, path: str, *options: str, status: int = 200) -> Any:
        """The JSON that it prints."""
        command = ("curl", "--silent", "--show-error", *options, "--write-out", "\n%{http_code}")
        process = await asyncio.create_subprocess_exec(
            *command, f"http://{self.site.host}{QUEUES}{path}", stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        text, _, code = said.decode().rpartition("\n")
        assert (process.returncode, int(code)) == (0, status), text
        return json.loads(text)

    async def done(self, path: str, *options: str) -> tuple[str, Any]:
        """Message and data of the envelope."""
        answer = await self.curl(path, *options)
        assert answer["success"] is True
        return answer["message"], answer["data"]

    def state(self, job_id: str) -> str | None:
        return state(self.engine, job_id)


@pytest.fixture
def shell(site: Site, worker: Worker) -> Shell:
    fill(worker)
    return Shell(site=site, engine=worker.engine)


def posting(body: Any) -> tuple[str, ...]:
    return ("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(body))


async def test_health(shell: Shell) -> None:
    """As the guide has it, and in the envelope as well."""
    put(shell.engine, *(f"more-{n}" for n in range(100)))

    answer = await shell.curl("/health")

    assert answer["healthy"] is False
    assert answer["issues"] == ["email: 101 waiting jobs"]
    assert answer["stats"]["email"]["failed"] == 2
    assert answer["success"] is True
    assert {name: answer[name] for name in ("healthy", "issues", "stats")}.items() <= answer["data"].items()
    assert answer["data"]["details"] == [{"queue": "email", "kind": "waiting", "observed": 101, "threshold": 100}]


async def test_health_of_queues_without_issues(shell: Shell) -> None:
    """They are healthy also in the status: it is about the request, and the judgement is in the answer."""
    answer = await shell.curl("/health")

    assert (answer["healthy"], answer["issues"]) == (True, [])


async def test_stats_of_all_queues(shell: Shell) -> None:
    message, data = await shell.done("/stats")

    assert message == "Queue statistics retrieved successfully"
    assert list(data) == ["email", "sync", "payment", "enrollment", "notification", "cleanup"]
    assert {name: data["sync"][name] for name in FIGURES} == dict.fromkeys(FIGURES, 0)


async def test_stats_of_one_queue(shell: Shell) -> None:
    """The guide's fields first, in its order."""
    _, data = await shell.done("/email/stats")

    assert list(data)[:8] == ["name", *FIGURES, "paused", "total"]
    assert list(data.values())[:8] == ["email", 1, 1, 1, 2, 1, False, 7]
    assert (data["cancelled"], data["stalled"], data["concurrency"]) == (1, 0, 5)
    assert (data["enqueuedTotal"], data["failedTotal"]) == (7, 2)


@pytest.mark.parametrize("status", STATES)
async def test_jobs_of_every_state(shell: Shell, status: str) -> None:
    _, data = await shell.done(f"/email/jobs?status={status}")

    ids = [job["id"] for job in data["jobs"]]
    assert ids == (["secret", "failed"] if status == "failed" else [status])
    assert {job["state"] for job in data["jobs"]} == {status}
    assert (data["total"], data["nextPageToken"]) == (len(ids), None)


async def test_jobs_page_by_page(shell: Shell) -> None:
    put(shell.engine, *(f"more-{n}" for n in range(4)))
    path = "/email/jobs?status=waiting&limit=2"

    pages = [(await shell.done(path))[1]]
    while token := pages[-1]["nextPageToken"]:
        pages.append((await shell.done(f"{path}&pageToken={token}"))[1])

    assert [[job["id"] for job in page["jobs"]] for page in pages] == [
        ["waiting", "more-0"],
        ["more-1", "more-2"],
        ["more-3"],
    ]


async def test_jobs_of_one_task_from_the_other_end(shell: Shell) -> None:
    _, oldest = await shell.done("/email/jobs?status=failed&order=oldest")
    _, theirs = await shell.done("/email/jobs?status=failed&task=email.welcome")

    assert [job["id"] for job in oldest["jobs"]] == ["failed", "secret"]
    assert [job["id"] for job in theirs["jobs"]] == ["failed"]


async def test_what_may_be_large_is_in_no_list(shell: Shell) -> None:
    answer = await shell.curl("/email/jobs?status=failed")

    for job in answer["data"]["jobs"]:
        assert job.keys().isdisjoint({"data", "logs", "returnvalue", "stacktrace"})
        assert [attempt["error"] for attempt in job["attempts"]] == [{"type": ERROR.type, "message": ERROR.message}]
    assert ERROR.stack_trace not in json.dumps(answer)


async def test_one_job_that_failed(shell: Shell) -> None:
    """Under the names that BullMQ has for it."""
    _, job = await shell.done("/email/job/failed")

    assert (job["name"], job["data"], job["opts"]["attempts"]) == ("email.welcome", json.loads(PAYLOAD), 4)
    assert (job["state"], job["attemptsMade"], job["failure"]) == ("failed", 1, "EXHAUSTED")
    assert job["failedReason"] == "4 attempts failed"
    assert job["stacktrace"] == [ERROR.stack_trace]  # nowhere else, however many attempts there were
    assert job["timestamp"] <= min(job["processedOn"], job["finishedOn"])
    assert (job["processedBy"], job["returnvalue"], job["labels"]) == ("w1", None, {"tenant": "north"})
    (attempt,) = job["attempts"]
    assert (attempt["number"], attempt["worker"], attempt["outcome"]) == (1, "w1", "failed")
    assert attempt["error"] == {"type": ERROR.type, "message": ERROR.message}


async def test_one_job_that_completed(shell: Shell) -> None:
    _, job = await shell.done("/email/job/completed")

    assert (job["returnvalue"], job["attemptsMade"], job["failedReason"]) == ({"sent": True}, 1, None)
    assert (job["progress"], job["progressMessage"]) == (50, "half way")
    assert [line["text"] for line in job["logs"]] == ["connected"]


async def test_one_job_that_is_not_due(shell: Shell) -> None:
    """`delay` counts from `timestamp`, as in BullMQ."""
    _, job = await shell.done("/email/job/delayed")

    assert job["delay"] == LONG.total_seconds() * 1000
    assert [(reason["kind"], reason["until"]) for reason in job["waitReasons"]] == [
        ("delayed", job["timestamp"] + job["delay"])
    ]


async def test_a_secret_is_masked(shell: Shell) -> None:
    assert (await shell.done("/email/job/secret"))[1]["data"]["code"] == "***"


async def test_retry_a_job(shell: Shell) -> None:
    message, job = await shell.done("/email/job/failed/retry", "-X", "POST")

    assert (message, job["state"], job["retries"]) == ("Job failed was put in line again", "waiting", 1)
    assert shell.state("failed") == "waiting"


async def test_retry_a_job_that_has_not_failed(shell: Shell) -> None:
    answer = await shell.curl("/email/job/completed/retry", "-X", "POST", status=409)

    assert answer == {
        "success": False,
        "message": "job completed is completed",
        "error": {"reason": "JOB_STATE", "state": "completed", "jobId": "completed"},
    }


async def test_retry_a_job_whose_secrets_are_erased(shell: Shell) -> None:
    answer = await shell.curl("/email/job/secret/retry", "-X", "POST", status=409)

    assert answer["error"]["reason"] == "SECRETS_ERASED"


async def test_remove_a_job(shell: Shell) -> None:
    assert await shell.done("/email/job/failed", "-X", "DELETE") == (
        "Job failed removed",
        {"queue": "email", "id": "failed"},
    )

    assert shell.state("failed") is None
    again = await shell.curl("/email/job/failed", "-X", "DELETE", status=404)
    assert again["error"] == {"reason": "JOB_NOT_FOUND", "jobId": "failed"}


async def test_remove_a_job_that_runs(shell: Shell) -> None:
    answer = await shell.curl("/email/job/active", "-X", "DELETE", status=409)

    assert (answer["error"]["reason"], answer["error"]["state"]) == ("JOB_STATE", "active")


async def test_pause_and_resume(shell: Shell) -> None:
    message, paused = await shell.done("/email/pause", "-X", "POST")
    _, stats = await shell.done("/email/stats")
    assert (message, paused["paused"], paused["unconfirmed"], stats["paused"]) == ("Queue email paused", True, 0, True)
    assert Worker(shell.engine).take() == []

    message, resumed = await shell.done("/email/resume", "-X", "POST")
    assert (message, resumed["paused"]) == ("Queue email resumed", False)
    assert [job.request.id for job in Worker(shell.engine, name="w2").take()] == ["waiting"]


@pytest.mark.parametrize(
    ("moment", "ms"), [(4_000_000_000_000, 4_000_000_000_000), ("2096-10-02T08:06:40+01:00", 4_000_000_000_000)]
)
async def test_pause_with_a_reason_and_an_end(shell: Shell, moment: int | str, ms: int) -> None:
    _, paused = await shell.done("/email/pause", *posting({"reason": "SMTP is down", "resumeAt": moment}))

    assert (paused["pauseReason"], paused["resumeAt"]) == ("SMTP is down", ms)
    _, job = await shell.done("/email/job/waiting")
    assert job["waitReasons"][0]["message"] == "the queue is paused: SMTP is down"


async def test_clean_removes_completed_jobs(shell: Shell) -> None:
    """Without a body these alone, as in BullMQ."""
    assert await shell.done("/email/clean", "-X", "POST") == ("completed jobs removed: 1", {"done": 1, "remaining": 0})

    assert [job_id for job_id in STATES if shell.state(job_id) is None] == ["completed"]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "waiting", "delayed"])
async def test_clean_removes_jobs_of_a_state(shell: Shell, status: str) -> None:
    await shell.done("/email/clean", *posting({"status": status}))

    assert [job_id for job_id in STATES if shell.state(job_id) is None] == [status]


@pytest.mark.parametrize("body", [{"grace": 3_600_000}, {"olderThan": "1h"}])
@pytest.mark.parametrize("status", ["failed", "waiting"])
async def test_clean_spares_what_is_younger(shell: Shell, status: str, body: dict[str, Any]) -> None:
    _, outcome = await shell.done("/email/clean", *posting({"status": status, **body}))

    assert outcome["done"] == 0
    assert shell.state(status) == status


async def test_clean_up_to_a_limit(shell: Shell) -> None:
    _, counted = await shell.done("/email/clean", *posting({"status": "failed", "dryRun": True}))
    message, outcome = await shell.done("/email/clean", *posting({"status": "failed", "limit": 1}))

    assert (counted, outcome) == ({"done": 2, "remaining": 0}, {"done": 1, "remaining": 1})
    assert message == "failed jobs removed: 1"
    assert (shell.state("failed"), shell.state("secret")) == (None, "failed")


async def test_a_retry_that_skips_none_says_nothing_of_it(shell: Shell) -> None:
    message, _ = await shell.done("/email/jobs/retry-failed", *posting({"task": "email.welcome"}))

    assert message == "failed jobs that wait again: 1"


async def test_retry_all_failed_jobs(shell: Shell) -> None:
    path = "/email/jobs/retry-failed"
    message, counted = await shell.done(path, *posting({"limit": 100, "dryRun": True}))
    assert counted == {"done": 1, "skipped": 1, "remaining": 0}
    assert message == "failed jobs that would wait again: 1; that cannot be retried: 1"
    _, theirs = await shell.done(path, *posting({"task": "email.verification_code"}))
    assert theirs == {"done": 0, "skipped": 1, "remaining": 0}

    message, outcome = await shell.done(path, *posting({"limit": 100}))

    assert outcome == {"done": 1, "skipped": 1, "remaining": 0}
    assert message == "failed jobs that wait again: 1; that cannot be retried: 1"
    assert look(shell.engine, "failed").state == "waiting"
