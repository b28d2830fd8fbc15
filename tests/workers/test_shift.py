"""What the log says about the end of an attempt: one line, and no untruth."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.engine.job import AttemptOutcome, Failure, FailureReason, JobError
from server.engine.work import Completion, FinalFailure, Release, Retry, Run, Snooze
from tests.workers.hands import Seconds, leased
from workers.holding import Holding
from workers.outcome import Settlement, Stop
from workers.shift import _log_settlement

RUN = Run(lease=leased().lease, started_after=timedelta(0))
ERROR = JobError(type="ValueError", message="boom")
AGAIN = timedelta(seconds=2)
RETRY = Retry(run=RUN, delay=AGAIN, error=ERROR)
SNOOZE = Snooze(run=RUN, delay=AGAIN, reason=JobError(type="Snooze", message="not yet"))
RELEASE = Release(lease=RUN.lease)
FAILURE = FinalFailure(
    run=RUN, failure=Failure(reason=FailureReason.PERMANENT, message="no"), error=ERROR, outcome=AttemptOutcome.FAILED
)


def line(settlement: Settlement, *, taken: bool = True, cancelled: bool = False) -> dict[str, Any]:
    """For a job that ran for a second and a half."""
    clock = Seconds()
    holding = Holding(leased(), clock=clock)
    holding.begin()
    clock.now += 1.5
    holding.end()
    holding.cancelled = cancelled
    with capture_logs() as lines:
        _log_settlement(holding, settlement, taken)
    (only,) = lines
    return dict(only)


@pytest.mark.parametrize(
    ("settlement", "level", "event", "more"),
    [
        (Completion(run=RUN), "info", "email job completed", {}),
        (FAILURE, "error", "email job failed", {"reason": "PERMANENT", "error": "no"}),
        (Stop(run=RUN), "info", "email job cancelled", {}),
        (RETRY, "warning", "email job retried", {"error": "ValueError: boom", "again_in_ms": 2000}),
        (SNOOZE, "info", "email job snoozed", {"reason": "not yet", "again_in_ms": 2000}),
        (RELEASE, "info", "email job released", {}),
        (Release(lease=RUN.lease, delay=AGAIN), "info", "email job released", {"again_in_ms": 2000}),
    ],
)
def test_every_end_is_one_line(settlement: Settlement, level: str, event: str, more: dict[str, object]) -> None:
    always = {"queue": "email", "task": "email.welcome", "job_id": "a", "attempt": 1, "duration_ms": 1500.0}

    assert line(settlement) == {"log_level": level, "event": event} | always | more


def test_what_was_not_taken_is_not_told_as_if_it_were() -> None:
    told = line(Completion(run=RUN), taken=False)

    assert (told["log_level"], told["event"]) == ("warning", "email job completed in vain: the lease was lost")


@pytest.mark.parametrize("settlement", [RETRY, SNOOZE, RELEASE])
def test_a_job_that_was_asked_to_stop_is_not_put_off(settlement: Settlement) -> None:
    """The engine cancels it instead, whatever its actor raised."""
    told = line(settlement, cancelled=True)

    assert told["event"] == "email job cancelled"
    assert "again_in_ms" not in told


@pytest.mark.parametrize(("settlement", "word"), [(Completion(run=RUN), "completed"), (FAILURE, "failed")])
def test_a_job_that_ended_before_it_could_be_stopped_is_told_as_it_ended(settlement: Settlement, word: str) -> None:
    assert line(settlement, cancelled=True)["event"] == f"email job {word}"
