"""A run of a job as it is answered, and what its code wrote."""

from __future__ import annotations

from typing import Annotated

from server.engine import job
from server.engine.job import AttemptOutcome
from server.engine.moments import epoch_ms
from server.web.api.shape import Shape, ms_at, says


class JobError(Shape, frozen=True):
    """What an attempt raised. The stack trace stands in `stacktrace` of the job, and only there."""

    type: Annotated[str, says("The class of the error.")]
    message: Annotated[str, says("What it said, shortened, secrets masked.")]

    @classmethod
    def of(cls, error: job.JobError) -> JobError:
        return cls(type=error.type, message=error.message)


class Attempt(Shape, frozen=True):
    """One run of a job."""

    number: Annotated[
        int, says("From 1, and anew when an operator retried the job; a snoozed one shares it with the next.")
    ]
    worker: Annotated[str, says("The worker process that ran it.")]
    started_at: Annotated[int, says("When it started.")]
    ended_at: Annotated[int | None, says("When it ended; null while it runs.")]
    outcome: Annotated[AttemptOutcome | None, says("How it ended; null while it runs.")]
    error: Annotated[JobError | None, says("What it raised; null when it raised nothing.")]

    @classmethod
    def of(cls, attempt: job.Attempt) -> Attempt:
        return cls(
            number=attempt.number,
            worker=attempt.worker,
            started_at=epoch_ms(attempt.started_at),
            ended_at=ms_at(attempt.ended_at),
            outcome=attempt.outcome,
            error=JobError.of(attempt.error) if attempt.error else None,
        )


class LogLine(Shape, frozen=True):
    """A line that the code of the job wrote."""

    timestamp: Annotated[int, says("When.")]
    attempt: Annotated[int, says("In which attempt.")]
    text: Annotated[str, says("What it says; shortened when long.")]

    @classmethod
    def of(cls, line: job.LogLine) -> LogLine:
        return cls(timestamp=epoch_ms(line.at), attempt=line.attempt, text=line.text)
