"""What is answered: an envelope, and in it the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from server.admin import bulk, health, listing, queues
from server.admin.health import IssueKind
from server.engine.job import JobState
from server.web.api.job import ListedJob
from server.web.api.queue import QueueStats
from server.web.api.reason import Reason
from server.web.api.shape import Shape, says

Data = TypeVar("Data")


class Answer(Shape, Generic[Data], frozen=True, kw_only=True):
    """What was asked for."""

    success: Annotated[bool, says("Whether it was done.", extra_json_schema={"const": True})] = True
    message: Annotated[str, says("What was done, for people.")]
    data: Annotated[Data, says("What was asked for.")]


class Fault(Shape, frozen=True):
    """What is wrong with one field."""

    field: Annotated[str, says("Its name.")]
    message: Annotated[str, says("A phrase that goes on after the name.")]


class ErrorDetails(Shape, frozen=True, omit_defaults=True):
    """Why, for programs."""

    reason: Annotated[Reason, says("One of a closed list: what gRPC has as well is told by the same words.")]
    field: Annotated[str | UnsetType, says("The first wrong field.")] = UNSET
    faults: Annotated[Sequence[Fault], says("All wrong fields.")] = ()
    state: Annotated[str | UnsetType, says("JOB_STATE: the state in which the job is.")] = UNSET
    job_id: Annotated[str | UnsetType, says("The job that was not found, or that is in the way.")] = UNSET
    limit_bytes: Annotated[int | UnsetType, says("BODY_TOO_LARGE: how large it may be.")] = UNSET
    correlation_id: Annotated[str | UnsetType, says("INTERNAL: by it the logs of the service have the cause.")] = UNSET


class Refusal(Shape, frozen=True, kw_only=True):
    """Why something was not done."""

    success: Annotated[bool, says("Whether it was done.", extra_json_schema={"const": False})] = False
    message: Annotated[str, says("Why, for people.")]
    error: Annotated[ErrorDetails, says("Why, for programs.")]


class Issue(Shape, frozen=True):
    """One threshold of one queue that was passed."""

    queue: Annotated[str, says("The queue.")]
    kind: Annotated[IssueKind, says("Which threshold.")]
    observed: Annotated[int, says("How many there are.")]
    threshold: Annotated[int, says("How many may be, or of workers, must be.")]


class Health(Shape, frozen=True):
    """The judgement on all queues."""

    healthy: Annotated[bool, says("Whether there are no issues.")]
    issues: Annotated[Sequence[str], says("What is wrong, for people.", examples=[["email: 150 failed jobs"]])]
    stats: Annotated[Mapping[str, QueueStats], says("How each queue is doing, by its name.")]
    details: Annotated[Sequence[Issue], says("The issues for programs, in the same order.")]

    @classmethod
    def of(cls, found: health.Health) -> Health:
        return cls(
            healthy=found.healthy,
            issues=[str(issue) for issue in found.issues],
            stats={queue.name: QueueStats.of(queue) for queue in found.queues},
            details=[
                Issue(queue=issue.queue, kind=issue.kind, observed=issue.observed, threshold=issue.threshold)
                for issue in found.issues
            ],
        )


class HealthAnswer(Answer[Health], frozen=True, kw_only=True):
    """The judgement twice: as the guide has it, and in the envelope that every answer has."""

    healthy: Annotated[bool, says("As in `data`.")]
    issues: Annotated[Sequence[str], says("As in `data`.")]
    stats: Annotated[Mapping[str, QueueStats], says("As in `data`.")]


class PausedQueue(QueueStats, frozen=True):
    """A queue that hands out nothing any more."""

    unconfirmed: Annotated[
        int,
        says("Jobs of which a worker has not said yet whether it started them. Unless 0, ask again to wait for them."),
    ]

    @classmethod
    def told(cls, paused: queues.Paused) -> PausedQueue:
        return cls(**asdict(QueueStats.of(paused.queue)), unconfirmed=paused.unconfirmed)


class Page(Shape, frozen=True):
    """Jobs of one state."""

    queue: Annotated[str, says("Their queue.")]
    status: Annotated[JobState, says("Their state.")]
    total: Annotated[int, says("How many jobs are in it now, whatever `task` says.")]
    jobs: Annotated[Sequence[ListedJob], says("Those of this page.")]
    next_page_token: Annotated[str | None, says("What to ask the next page with; null after the last.")]

    @classmethod
    def of(cls, asked: listing.Listing, found: listing.Listed) -> Page:
        return cls(
            queue=asked.queue,
            status=asked.state,
            total=found.total,
            jobs=[ListedJob.of(job) for job in found.jobs],
            next_page_token=found.next_token or None,
        )


class RemovedJob(Shape, frozen=True):
    """The name of a job that is gone."""

    queue: Annotated[str, says("The queue it stood in.")]
    id: Annotated[str, says("Its id.")]


class Cleaned(Shape, frozen=True):
    """What became of the jobs that matched."""

    done: Annotated[int, says("Removed; with `dryRun`, that would be.")]
    remaining: Annotated[int, says("Not come to, because of `limit` or time: ask again to go on.")]

    @classmethod
    def of(cls, outcome: bulk.Outcome) -> Cleaned:
        return cls(done=outcome.done, remaining=outcome.remaining)


class Retried(Shape, frozen=True):
    """What became of the jobs that matched."""

    done: Annotated[int, says("Waiting again; with `dryRun`, that would be.")]
    skipped: Annotated[int, says("Cannot be retried: their secrets are erased, or another job has their unique key.")]
    remaining: Annotated[int, says("Not come to, because of `limit` or time: ask again to go on.")]

    @classmethod
    def of(cls, outcome: bulk.Outcome) -> Retried:
        return cls(done=outcome.done, skipped=outcome.skipped, remaining=outcome.remaining)


AnyAnswer = Answer[Any]
