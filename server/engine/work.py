"""Transitions that workers ask for: reserve, extend, note, and the ways in which an attempt ends.

The settling ones take many jobs of one queue at once and answer for each whether it was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from server.engine import reading, record
from server.engine.call import Argument, Call, call
from server.engine.errors import InvalidValue, LeaseLost
from server.engine.job import AttemptOutcome, Failure, JobError, Lease, LeasedJob
from server.engine.moments import milliseconds
from server.engine.names import checked_worker

RESERVE_LIMIT = 1000  # jobs a call
LOG_LINES_KEPT = 100
_FIELDS_A_JOB = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """At most `count` jobs started in any `period`."""

    count: int
    period: timedelta

    def __post_init__(self) -> None:
        if self.count < 1 or self.period < timedelta(milliseconds=1):
            raise InvalidValue("rate_limit", "must be at least 1 job and 1 ms")


class Found(Enum):
    """What a reservation came upon."""

    JOBS = b"OK"
    NOTHING = b"EMPTY"
    PAUSE = b"PAUSED"
    LIMIT = b"LIMIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The jobs a worker got, or why it got none."""

    found: Found
    jobs: list[LeasedJob]
    unreadable: list[Lease]  # somebody wrote over their records: there is nothing to run
    ask_again: timedelta | None  # worth asking again then, without being woken before; None: nobody knows


class Attention(Enum):
    """What a worker must know of a job that it holds."""

    LEASE_LOST = b"LEASE_LOST"
    CANCEL = b"CANCEL"
    PAUSED = b"PAUSED"  # not known to have started before: to be handed back, unless it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A leased job and when it started; None: it never did."""

    lease: Lease
    started_after: timedelta | None  # counted from its reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    run: Run
    result: bytes | None = None  # JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    run: Run
    delay: timedelta
    error: JobError
    outcome: AttemptOutcome = AttemptOutcome.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalFailure:
    run: Run
    failure: Failure
    error: JobError
    outcome: AttemptOutcome = AttemptOutcome.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    run: Run
    delay: timedelta
    reason: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    lease: Lease
    delay: timedelta = timedelta(0)  # 0: back to the very place it had


def reserve(
    queue: str,
    *,
    worker: str,
    number: int,
    want: int,
    lease: timedelta,
    concurrency: int = 0,
    rate_limit: RateLimit | None = None,
) -> Call[Reservation]:
    """waiting -> active, for at most `want` jobs.

    `number` rises with every new reservation of this worker: the same number gets the same jobs again. `concurrency`
    (0: none) and `rate_limit` hold over all workers, where no operator has set others.
    """
    if not 1 <= want <= RESERVE_LIMIT:
        raise InvalidValue("want", f"must lie between 1 and {RESERVE_LIMIT}")
    arguments: list[Argument] = [checked_worker(worker), number, want, milliseconds(lease), concurrency]
    arguments += [rate_limit.count, milliseconds(rate_limit.period)] if rate_limit else [0, 0]

    def read(reply: list[Any]) -> Reservation:
        fields = reply[3:]
        leased = [fields[at : at + _FIELDS_A_JOB] for at in range(0, len(fields), _FIELDS_A_JOB)]
        jobs, unreadable = reading.read_all_leased(queue, leased)
        ask_again = timedelta(milliseconds=reply[2]) if reply[2] else None
        return Reservation(found=Found(reply[0]), jobs=jobs, unreadable=unreadable, ask_again=ask_again)

    return call("reserve", queue, arguments, read)


def extend(queue: str, runs: Sequence[Run], *, lease: timedelta) -> Call[dict[str, Attention]]:
    """active stays active. Job ids that need attention: lost, or to be stopped."""
    arguments: list[Argument] = [milliseconds(lease)]
    for run in runs:
        arguments += [run.lease.job_id, run.lease.token, _started(run)]

    def read(reply: list[bytes]) -> dict[str, Attention]:
        return {job_id.decode(): Attention(word) for job_id, word in zip(reply[::2], reply[1::2], strict=True)}

    return call("extend", queue, arguments, read)


def note(lease: Lease, *, progress: tuple[float, str] | None = None, line: str | None = None) -> Call[None]:
    """active stays active: writes down how far it is (per cent), or a line of log. Raises LeaseLost."""
    if progress and not 0 <= progress[0] <= 100:  # noqa: PLR2004  (per cent)
        raise InvalidValue("progress.percent", "must lie between 0 and 100")
    progress_text = record.progress_text(*progress) if progress else b""
    line_text = record.json_text(line) if line is not None else b""

    def read(reply: bytes) -> None:
        if reply != b"OK":
            raise LeaseLost(lease.job_id)

    return call("note", lease.queue, [lease.job_id, lease.token, progress_text, line_text, LOG_LINES_KEPT], read)


def complete(queue: str, completions: Sequence[Completion]) -> Call[list[bool]]:
    """active -> completed. False where the lease was lost: then nothing of it is taken."""
    arguments: list[Argument] = []
    for item in completions:
        arguments += [*_token(item.run.lease), _started(item.run) or 0, item.result or b""]
    return call("complete", queue, arguments, _taken)


def retry(queue: str, retries: Sequence[Retry]) -> Call[list[bool]]:
    """active -> delayed, or cancelled where that was asked; an attempt is spent. False where the lease was lost."""
    arguments: list[Argument] = []
    for item in retries:
        started, delay = _started(item.run) or 0, milliseconds(item.delay)
        arguments += [*_token(item.run.lease), started, delay, item.outcome, record.error_text(item.error)]
    return call("retry", queue, arguments, _taken)


def fail(queue: str, failures: Sequence[FinalFailure]) -> Call[list[bool]]:
    """active -> failed. False where the lease was lost."""
    arguments: list[Argument] = []
    for item in failures:
        failure, error = record.failure_text(item.failure), record.error_text(item.error)
        arguments += [*_token(item.run.lease), _started(item.run) or 0, failure, item.outcome, error]
    return call("fail", queue, arguments, _taken)


def snooze(queue: str, snoozes: Sequence[Snooze]) -> Call[list[bool]]:
    """active -> delayed, or cancelled where that was asked; no attempt is spent. False where the lease was lost."""
    arguments: list[Argument] = []
    for item in snoozes:
        started, delay = _started(item.run) or 0, milliseconds(item.delay)
        arguments += [*_token(item.run.lease), started, delay, record.error_text(item.reason)]
    return call("snooze", queue, arguments, _taken)


def stop(queue: str, runs: Sequence[Run]) -> Call[list[bool]]:
    """active -> cancelled: done as cancel asked. False where the lease was lost."""
    arguments: list[Argument] = []
    for run in runs:
        arguments += [*_token(run.lease), _started(run)]
    return call("stop", queue, arguments, _taken)


def release(queue: str, releases: Sequence[Release]) -> Call[list[bool]]:
    """active -> waiting | delayed; nothing is charged. False where the lease was lost."""
    arguments: list[Argument] = []
    for item in releases:
        arguments += [*_token(item.lease), milliseconds(item.delay)]
    return call("release", queue, arguments, _taken)


def attend(queue: str, worker: str, *, tasks: Sequence[str], threads: int, started_at: datetime) -> Call[None]:
    """The worker is there, and can run these tasks of the queue. To be repeated well within `look.SILENCE`."""
    said = record.crew_text(tasks=tasks, threads=threads, started_at=started_at)
    return call("attend", queue, [checked_worker(worker), said], _nothing)


def leave(queue: str, worker: str) -> Call[None]:
    """The worker has ended in order. May be repeated."""
    return call("leave", queue, [checked_worker(worker)], _nothing)


def _nothing(_: object) -> None:
    return None


def _token(lease: Lease) -> tuple[str, str]:
    return lease.job_id, lease.token


def _started(run: Run) -> int | str:
    return "" if run.started_after is None else milliseconds(run.started_after)


def _taken(reply: list[bytes]) -> list[bool]:
    return [word == b"OK" for word in reply]
