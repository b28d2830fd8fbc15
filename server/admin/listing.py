"""Jobs of one state, page by page."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from server.engine.async_engine import AsyncEngine
from server.engine.errors import InvalidValue
from server.engine.job import Job, JobState
from server.engine.look import PAGE_LIMIT, Place, brief, page

USUAL_SIZE = 50
_STRIDE = 250  # jobs looked at in one go
_MOST_STRIDES = 8  # for one page, which a filter may leave empty
_MOST_BYTES = 3_500_000  # of one page: clients of gRPC take answers of up to 4 MiB
_FRAME_BYTES = 1500  # of a job, whatever is written in it: names, times and figures at their longest
_SCORE = re.compile(r"-?[0-9]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which jobs, in which order. `newest_first` None: the living as they start, the ended newest first."""

    queue: str
    state: JobState
    size: int = USUAL_SIZE
    newest_first: bool | None = None
    task: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= PAGE_LIMIT:
            raise InvalidValue("page_size", f"must lie between 1 and {PAGE_LIMIT:,}")

    @property
    def stride(self) -> int:
        """How many jobs to look at in one go: a filter may leave few of them."""
        return _STRIDE if self.task or self.labels else min(self.size, _STRIDE)

    @property
    def backwards(self) -> bool:
        return self.state.terminal if self.newest_first is None else self.newest_first

    def shows(self, job: Job) -> bool:
        """Whether it belongs into the list."""
        request = job.request
        return (
            job.state is self.state
            and self.task in ("", request.task)
            and all(request.labels.get(name) == value for name, value in self.labels.items())
        )

    def token(self, place: Place) -> str:
        """Names the place, for this list alone."""
        text = msgspec.json.encode((self._mark(), place.score, place.job_id))
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    def place(self, token: str) -> Place:
        """The other way. Raises InvalidValue."""
        try:
            text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            mark, score, job_id = msgspec.json.decode(text, type=tuple[str, str, str])
        except (ValueError, binascii.Error, msgspec.MsgspecError):
            mark = score = job_id = ""
        if not _SCORE.fullmatch(score):
            raise InvalidValue("page_token", "must be one that an earlier answer held")
        if mark != self._mark():
            raise InvalidValue("page_token", "belongs to a list with other terms")
        return Place(job_id=job_id, score=score)

    def _mark(self) -> str:
        terms = repr((self.queue, str(self.state), self.backwards, self.task, sorted(self.labels.items())))
        return hashlib.blake2b(terms.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One page. Its jobs come without stack traces."""

    jobs: list[Job]
    next_token: str  # empty: there are no others
    total: int  # in the state, whatever the filter says


async def listed(engine: AsyncEngine, listing: Listing, token: str) -> Listed:
    """The page after `token`, or the first. It may be shorter than asked and not the last: where a filter leaves little
    of what one page may look at, or jobs are so large that an answer has room for fewer. Raises InvalidValue.
    """
    place = listing.place(token) if token else None
    jobs: list[Job] = []
    room = _MOST_BYTES
    for _ in range(_MOST_STRIDES):
        found = await engine.run(
            page(listing.queue, listing.state, count=listing.stride, after=place, newest_first=listing.backwards)
        )
        for at, job in await _shown(engine, listing, found.places):
            room -= _weight(job)
            if place and jobs and (len(jobs) == listing.size or room < 0):
                return Listed(jobs=jobs, next_token=listing.token(place), total=found.total)
            jobs.append(job)
            place = at
        if not found.more:
            return Listed(jobs=jobs, next_token="", total=found.total)
        place = found.places[-1]
        if len(jobs) == listing.size:
            break
    return Listed(jobs=jobs, next_token=listing.token(place) if place else "", total=found.total)


async def _shown(engine: AsyncEngine, listing: Listing, places: list[Place]) -> list[tuple[Place, Job]]:
    """Those of the jobs that belong into the list, and still are where they were found a moment ago."""
    if not places:
        return []
    known = {job.id: job for job in await engine.run(brief(listing.queue, [place.job_id for place in places]))}
    pairs = [(place, known[place.job_id]) for place in places if place.job_id in known]
    return [(place, _without_traces(job)) for place, job in pairs if listing.shows(job)]


def _without_traces(job: Job) -> Job:
    attempts = tuple(
        replace(attempt, error=replace(attempt.error, stack_trace="")) if attempt.error else attempt
        for attempt in job.attempts
    )
    return replace(job, attempts=attempts)


def _weight(job: Job) -> int:
    """The bytes that it takes in an answer, rather too many than too few."""
    words = [job.request.unique_key, job.cancel_reason, *job.request.labels, *job.request.labels.values()]
    if job.failure:
        words.append(job.failure.message)
    for attempt in job.attempts:
        words += [attempt.error.type, attempt.error.message] if attempt.error else []
    return _FRAME_BYTES + sum(len(word.encode()) for word in words if word)
