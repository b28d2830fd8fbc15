"""Transitions that operators ask for: pause, resume, and a look at the counts."""

from __future__ import annotations

from dataclasses import dataclass

from server.engine.call import Call, call
from server.engine.job import JobState

_ORDER = (
    JobState.WAITING,
    JobState.ACTIVE,
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.DELAYED,
    JobState.CANCELLED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many jobs of a queue stand where."""

    jobs: dict[JobState, int]
    paused: bool

    def __getitem__(self, state: JobState) -> int:
        return self.jobs[state]


def counts(queue: str) -> Call[Counts]:
    def read(reply: list[int]) -> Counts:
        return Counts(jobs=dict(zip(_ORDER, reply, strict=False)), paused=bool(reply[len(_ORDER)]))

    return call("counts", queue, [], read)


def pause(queue: str) -> Call[None]:
    """No job of the queue is handed out until resume. May be repeated."""
    return call("pause", queue, [], _nothing)


def resume(queue: str) -> Call[None]:
    """May be repeated."""
    return call("resume", queue, [], _nothing)


def _nothing(_: object) -> None:
    return None
