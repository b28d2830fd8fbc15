"""From how an actor ended to what the engine is told."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from datetime import timedelta
from typing import Any

import pytest
from dramatiq.errors import RateLimitExceeded
from dramatiq.errors import Retry as RetryRequested
from dramatiq.middleware import Shutdown, TimeLimitExceeded

from server.catalog import PermanentFailure
from server.catalog import Snooze as NotYet
from server.engine.job import AttemptOutcome, FailureReason, Spent
from server.engine.work import Completion, FinalFailure, Release, Retry, Snooze
from tests.workers.hands import NOW, Seconds, begun, leased
from workers.holding import Holding, JobCancelled, LeaseGone
from workers.outcome import Stop, settle

FIRST_WAIT = timedelta(seconds=2)


def raised(error: BaseException) -> BaseException:
    """With a traceback, as an actor raises it."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def settled(error: BaseException | None, spent: Spent | None = None, **request: Any) -> Any:
    holding = begun(leased(spent=spent, **request))
    return settle(holding, error and raised(error), roll=lambda: 0.0)


def snoozed(error: NotYet, *, snoozes: int = 0, since: timedelta | None = None) -> Any:
    """For a job that has been snoozed that often, for the first time that long ago."""
    return settled(error, Spent(snoozes=snoozes, snoozed_since=NOW - since if since is not None else None))


def test_no_error_completes() -> None:
    assert isinstance(settled(None), Completion)


@pytest.mark.parametrize(
    ("result", "kept"),
    [(None, None), ({"id": 7}, b'{"id":7}'), ([], b"[]"), (False, b"false"), ("ä", '"ä"'.encode())],
)
def test_a_result_is_kept_as_json(result: object, kept: bytes | None) -> None:
    holding = begun()
    holding.result = result

    assert settle(holding, None) == Completion(run=holding.run, result=kept)


def nested() -> list[object]:
    knot: list[object] = []
    knot.append(knot)
    return knot


@pytest.mark.parametrize("result", [object(), {1j}, "\udcff", "x" * (64 * 1024), nested()])
def test_a_result_that_cannot_be_kept_does_not_undo_the_work(result: object) -> None:
    holding = begun()
    holding.result = result

    assert settle(holding, None) == Completion(run=holding.run, result=None)


def test_a_job_that_was_lost_is_not_settled() -> None:
    assert settled(LeaseGone()) is None


def test_a_cancelled_job_is_stopped() -> None:
    assert isinstance(settled(JobCancelled()), Stop)


def test_a_job_that_the_shutdown_interrupted_goes_back_to_its_place() -> None:
    assert settled(Shutdown()) == Release(lease=leased().lease)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        KeyError("k"),
        RateLimitExceeded("slow down"),  # type: ignore[no-untyped-call]
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        CancelledError(),
        asyncio.CancelledError(),
        ExceptionGroup("both", [ValueError("a")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_anything_else_spends_an_attempt(error: BaseException) -> None:
    retry = settled(error)

    assert isinstance(retry, Retry)
    assert (retry.delay, retry.outcome) == (FIRST_WAIT, AttemptOutcome.FAILED)
    assert retry.error.type == type(error).__name__
    assert retry.error.message
    assert type(error).__name__ in retry.error.stack_trace


def test_a_time_limit_spends_an_attempt_that_timed_out() -> None:
    assert settled(TimeLimitExceeded()).outcome is AttemptOutcome.TIMED_OUT


def test_the_waits_between_attempts_grow() -> None:
    waits = [settled(ValueError(), Spent(failures=failures)).delay.total_seconds() for failures in range(3)]

    assert waits == [2, 4, 8]


def test_chance_shortens_a_wait_by_at_most_half() -> None:
    """Jobs that failed in the same moment do not come back in the same moment."""
    holding = begun()

    retry = settle(holding, ValueError(), roll=lambda: 0.9999)

    assert isinstance(retry, Retry)
    assert FIRST_WAIT / 2 <= retry.delay < FIRST_WAIT * 0.51


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ValueError("boom"), AttemptOutcome.FAILED), (TimeLimitExceeded(), AttemptOutcome.TIMED_OUT)],
)
def test_the_last_attempt_fails_for_good(error: BaseException, outcome: AttemptOutcome) -> None:
    failure = settled(error, Spent(failures=3), max_attempts=4)

    assert isinstance(failure, FinalFailure)
    assert failure.failure.reason is FailureReason.EXHAUSTED
    assert failure.failure.message == f"4 attempts failed, the last with {type(error).__name__}: {error}"
    assert failure.outcome is outcome


def test_a_lost_lease_spends_no_attempt() -> None:
    assert isinstance(settled(ValueError(), Spent(failures=2, lost=2), max_attempts=4), Retry)


def test_a_single_attempt_is_spoken_of_as_one() -> None:
    failure = settled(ValueError("boom"), max_attempts=1)

    assert failure.failure.message == "1 attempt failed, the last with ValueError: boom"


def test_a_permanent_failure_spends_no_further_attempt() -> None:
    failure = settled(PermanentFailure("no such user"))

    assert (failure.failure.reason, failure.failure.message) == (FailureReason.PERMANENT, "no such user")
    assert failure.error.type == "PermanentFailure"


@pytest.mark.parametrize(("asked", "delay"), [(1500, timedelta(seconds=1.5)), (0, timedelta(0)), (None, FIRST_WAIT)])
def test_dramatiqs_own_retry_may_set_the_wait(asked: int | None, delay: timedelta) -> None:
    retry = settled(RetryRequested("later", delay=asked))

    assert isinstance(retry, Retry)
    assert retry.delay == delay


def test_dramatiqs_own_retry_spends_attempts_too() -> None:
    assert isinstance(settled(RetryRequested(delay=1), Spent(failures=3), max_attempts=4), FinalFailure)


def test_snoozes_grow_from_two_seconds_to_a_minute() -> None:
    waits = [snoozed(NotYet(), snoozes=n, since=timedelta(0)).delay.total_seconds() for n in (0, 1, 2, 3, 4, 5, 99)]

    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_a_snooze_tells_its_reason_and_may_set_its_wait() -> None:
    snooze = snoozed(NotYet(timedelta(minutes=5), "the bank is closed"))

    assert isinstance(snooze, Snooze)
    assert snooze.delay == timedelta(minutes=5)
    assert (snooze.reason.type, snooze.reason.message) == ("Snooze", "the bank is closed")


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(days=-1)])
def test_a_snooze_never_lasts_nothing(delay: timedelta) -> None:
    assert snoozed(NotYet(delay)).delay == timedelta(milliseconds=1)


def test_the_last_snooze_ends_with_the_ceiling() -> None:
    """It is looked at once more when the ceiling is reached, not some while after."""
    nearly = timedelta(hours=24) - timedelta(seconds=5)

    assert snoozed(NotYet(), snoozes=50, since=nearly).delay == timedelta(seconds=5)


def test_a_job_that_was_snoozed_up_to_the_ceiling_fails() -> None:
    failure = snoozed(NotYet(reason="no answer"), snoozes=50, since=timedelta(hours=24))

    assert failure.failure.reason is FailureReason.OVERSLEPT
    assert failure.failure.message == "not ready within 1 day, 0:00:00: no answer"


@pytest.mark.parametrize("ceiling", [timedelta(seconds=30), timedelta(0)])
def test_an_actor_may_set_the_ceiling(ceiling: timedelta) -> None:
    failure = snoozed(NotYet(ceiling=ceiling), snoozes=1, since=ceiling)

    assert failure.failure.reason is FailureReason.OVERSLEPT


def test_the_ceiling_is_measured_by_the_clock_of_redis() -> None:
    """The worker's own may be hours away: only the time since the reservation is taken from it."""
    clock = Seconds()
    holding = begun(leased(spent=Spent(snoozes=1, snoozed_since=NOW - timedelta(hours=23))), clock=clock)

    clock.now += 3599
    still = settle(holding, NotYet())
    clock.now += 1
    too_long = settle(holding, NotYet())

    assert isinstance(still, Snooze)
    assert isinstance(too_long, FinalFailure)


@pytest.mark.parametrize(
    "misuse",
    [NotYet(5), NotYet(ceiling=5), RetryRequested(delay="soon")],  # type: ignore[arg-type]
    ids=["delay", "ceiling", "retry"],
)
def test_a_misused_way_out_spends_an_attempt(misuse: Exception) -> None:
    """Were it to escape, the job would never be settled, and its lease kept as long as the process lives."""
    spent = Spent(snoozes=1, snoozed_since=NOW)

    assert isinstance(settled(misuse, spent), Retry)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [Unspeakable(), PermanentFailure(Unspeakable())], ids=["own", "wrapped"])  # type: ignore[arg-type]
def test_an_error_that_cannot_be_put_into_words_is_settled_all_the_same(error: Exception) -> None:
    assert settled(error) is not None


def test_what_is_said_is_cut() -> None:
    retry = settled(ValueError("a" * 5000))

    assert len(retry.error.message) == 1000
    assert retry.error.message.endswith("a…")
    assert len(retry.error.stack_trace) <= 8000
    assert len(settled(PermanentFailure("a" * 5000)).failure.message) == 1000


@pytest.mark.parametrize("interrupt", [JobCancelled, LeaseGone, TimeLimitExceeded, Shutdown])
def test_an_interrupt_in_other_clothes_counts_as_one(interrupt: type[BaseException]) -> None:
    error = RuntimeError("timed out while waiting for the coroutine")
    error.__cause__ = interrupt()

    assert type(settled(error)) is type(settled(interrupt()))


def test_a_way_out_that_an_actor_took_at_an_interrupt_is_taken() -> None:
    error = PermanentFailure("too slow for ever")
    error.__cause__ = TimeLimitExceeded()

    assert settled(error).failure.reason is FailureReason.PERMANENT


SECRET = leased(
    payload=b'{"email":"ada@example.org","code":"s3cr\\"t/1"}', masked=b'{"email":"ada@example.org","code":"***"}'
)


@pytest.mark.parametrize(
    "error",
    [ValueError('bad code s3cr"t/1'), PermanentFailure('s3cr"t/1 is used'), NotYet(reason='s3cr"t/1 is not known yet')],
    ids=["retried", "failed", "snoozed"],
)
def test_a_secret_of_the_payload_is_in_nothing_that_is_told(error: Exception) -> None:
    told = repr(settle(Holding(SECRET), raised(error)))

    assert "s3cr" not in told
    assert "***" in told
