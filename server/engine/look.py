"""What operators see: how a queue is doing, its jobs page by page, what keeps one from running, who works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from server.engine import reading
from server.engine.call import Argument, Call, call
from server.engine.errors import InvalidValue, JobNotFound
from server.engine.forms import CrewForm
from server.engine.job import Job, JobState
from server.engine.moments import epoch_ms, milliseconds, moment
from server.engine.overrides import Overrides
from server.engine.totals import Totals

SILENCE = timedelta(seconds=15)  # after it a worker counts as gone
PAGE_LIMIT = 1000  # jobs a page
STATES = (
    JobState.WAITING,
    JobState.ACTIVE,
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.DELAYED,
    JobState.CANCELLED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A queue hands out nothing."""

    since: datetime
    reason: str
    until: datetime | None  # None: until somebody resumes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A queue at one moment."""

    at: datetime
    jobs: dict[JobState, int]
    stalled: int  # active, and the lease has run out
    oldest_waiting: timedelta | None
    oldest_active: timedelta | None
    workers: int
    pause: Pause | None
    overrides: Overrides
    totals: Totals

    def __getitem__(self, state: JobState) -> int:
        return self.jobs[state]

    @property
    def paused(self) -> bool:
        return self.pause is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job stands in the order of its state. By it a list goes on, also when the job is gone."""

    job_id: str
    score: str  # as Redis writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    places: list[Place]
    more: bool  # there are others after these
    total: int  # in this state


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What a worker process says of itself."""

    tasks: tuple[str, ...]  # of this queue
    threads: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process, as one queue knows it."""

    name: str
    seen_at: datetime
    crew: Crew | None  # None: it has not introduced itself yet
    active: int  # jobs of the queue that it holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides when one job runs."""

    at: datetime
    task: str
    state: JobState
    due: datetime | None  # delayed
    ahead: int  # waiting: jobs before it in the line
    active: int  # jobs of the queue that run
    starts: int  # within the period of the rate limit
    oldest_start: datetime | None  # of these
    pause: Pause | None
    overrides: Overrides
    workers: list[Worker] = field(default_factory=list)


def stats(queue: str) -> Call[Stats]:
    """How a queue is doing. Costs the same however many jobs there are; grows with those that are active."""

    def read(reply: list[Any]) -> Stats:
        now, stalled, waiting_ms, active_ms, workers, counts, meta, totals = reply
        fields = _pairs(meta)
        return Stats(
            at=moment(now),
            jobs=dict(zip(STATES, counts, strict=True)),
            stalled=stalled,
            oldest_waiting=_age(waiting_ms),
            oldest_active=_age(active_ms),
            workers=workers,
            pause=_read_pause(fields, now),
            overrides=Overrides.read(fields),
            totals=Totals.read({name: int(n) for name, n in _pairs(totals).items()}),
        )

    return call("stats", queue, [milliseconds(SILENCE)], read)


def page(
    queue: str,
    state: JobState,
    *,
    count: int,
    after: Place | None = None,
    newest_first: bool = False,
    until: datetime | None = None,
) -> Call[Page]:
    """The next places of a state, in its order: the line, when due, when ended. `until` leaves out what ended or is due
    later; `total` then counts within it. The active are ordered by id, for their leases move.
    """
    if not 1 <= count <= PAGE_LIMIT:
        raise InvalidValue("page_size", f"must lie between 1 and {PAGE_LIMIT:,}")
    if state is JobState.ACTIVE:
        return _active_page(queue, count, after, newest_first)
    cursor = (after.score, after.job_id) if after else ("", "")
    # One more than asked: whether there are others is known by it.
    last = epoch_ms(until) if until else "+inf"
    arguments: list[Argument] = [state, int(newest_first), *cursor, last, count + 1]

    def read(reply: list[Any]) -> Page:
        found = [Place(job_id=i.decode(), score=s.decode()) for i, s in zip(reply[1::2], reply[2::2], strict=True)]
        return Page(places=found[:count], more=len(found) > count, total=reply[0])

    return call("page", queue, arguments, read)


def brief(queue: str, job_ids: Sequence[str]) -> Call[list[Job]]:
    """Those of these jobs that are known, without what may be large: of their attempts only the newest."""
    return call("get", queue, ["brief", *job_ids], lambda reply: reading.read_jobs(queue, reply))


def standing(queue: str, job_id: str, *, period: timedelta | None = None) -> Call[Standing]:
    """What keeps a job from running. `period`: that of the rate limit, unless operators set one. Raises JobNotFound."""

    def read(reply: list[Any]) -> Standing:
        if not reply:
            raise JobNotFound(queue, job_id)
        now, task, state, score, ahead, active, starts, oldest_start, meta, workers = reply
        fields = _pairs(meta)
        return Standing(
            at=moment(now),
            task=task.decode(),
            state=JobState(state.decode()),
            due=moment(float(score)) if state == b"delayed" else None,
            ahead=ahead,
            active=active,
            starts=starts,
            oldest_start=moment(float(oldest_start)) if oldest_start else None,
            pause=_read_pause(fields, now),
            overrides=Overrides.read(fields),
            workers=_read_workers(workers),
        )

    rate_ms = milliseconds(period) if period else 0
    return call("standing", queue, [job_id, milliseconds(SILENCE), rate_ms], read)


def crew(queue: str) -> Call[list[Worker]]:
    """The workers that were heard of lately."""
    return call("crew", queue, [milliseconds(SILENCE)], _read_workers)


def _active_page(queue: str, count: int, after: Place | None, newest_first: bool) -> Call[Page]:
    def read(reply: list[Any]) -> Page:
        ids = sorted((job_id.decode() for job_id in reply[1::2]), reverse=newest_first)
        if after:
            ids = [i for i in ids if (i < after.job_id if newest_first else i > after.job_id)]
        places = [Place(job_id=job_id, score="0") for job_id in ids[:count]]
        return Page(places=places, more=len(ids) > count, total=reply[0])

    # All of them: they are no more than may run at once.
    return call("page", queue, [JobState.ACTIVE, 0, "", "", "+inf", -1], read)


_crew = msgspec.json.Decoder(CrewForm)


def _read_workers(reply: Sequence[Any]) -> list[Worker]:
    rows = [reply[at : at + 4] for at in range(0, len(reply), 4)]
    return [
        Worker(
            name=name.decode(),
            seen_at=moment(float(seen)),
            crew=_read_crew(facts) if facts else None,
            active=active,
        )
        for name, seen, facts, active in rows
    ]


def _read_crew(text: bytes) -> Crew:
    said = _crew.decode(text)
    return Crew(tasks=tuple(said.tasks), threads=said.threads, started_at=moment(said.started))


def _read_pause(meta: dict[str, str], now: int) -> Pause | None:
    until = int(meta.get("paused_until", "0"))
    # One that is over counts as over, before anybody has taken the flag away.
    if "paused" not in meta or 0 < until <= now:
        return None
    return Pause(
        since=moment(int(meta["paused"])),
        reason=meta.get("pause_reason", ""),
        until=moment(until) if until else None,
    )


def _age(ms: int) -> timedelta | None:
    return None if ms < 0 else timedelta(milliseconds=ms)


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
