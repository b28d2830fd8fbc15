"""What is counted of a queue, and only rises: scripts count, and here it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from server.engine.job import AttemptOutcome, JobState

Word = TypeVar("Word", bound=StrEnum)
# Upper ends of the buckets in which waits and runs are counted, in ms; lua/include/timing.lua has the same.
BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000)
_BUCKETS = (*map(str, BOUNDS), "more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long something took, over all times that it happened."""

    buckets: tuple[int, ...]  # how many took up to each of BOUNDS and more than the one before; then those above all
    total: timedelta

    @property
    def count(self) -> int:
        return sum(self.buckets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Of one queue, by task."""

    enqueued: Mapping[str, int] = field(default_factory=dict)
    finished: Mapping[tuple[str, JobState], int] = field(default_factory=dict)
    attempts: Mapping[tuple[str, AttemptOutcome], int] = field(default_factory=dict)
    retried: Mapping[str, int] = field(default_factory=dict)
    wait: Mapping[str, Timing] = field(default_factory=dict)  # from being lined up to the start of an attempt
    run: Mapping[str, Timing] = field(default_factory=dict)  # from the start of an attempt to its end
    removed: int = 0

    @classmethod
    def read(cls, fields: Mapping[str, int]) -> Totals:
        """From the hash `totals`. What it knows no name for it passes over."""
        return cls(
            enqueued=_by_task(fields, "enqueued"),
            finished=_by_task_and(JobState, fields, "finished"),
            attempts=_by_task_and(AttemptOutcome, fields, "attempts"),
            retried=_by_task(fields, "retried"),
            wait=dict(_timings(fields, "wait")),
            run=dict(_timings(fields, "run")),
            removed=fields.get("removed", 0),
        )

    def ended(self, state: JobState) -> int:
        """How often a job entered this terminal state."""
        return sum(n for (_, entered), n in self.finished.items() if entered is state)


def _by_task(fields: Mapping[str, int], kind: str) -> dict[str, int]:
    return {name.removeprefix(f"{kind}:"): n for name, n in fields.items() if name.startswith(f"{kind}:")}


def _by_task_and(kind: type[Word], fields: Mapping[str, int], name: str) -> dict[tuple[str, Word], int]:
    """Without words that this version does not know yet: another one may be counting already."""
    known = set(kind)
    return {(task, kind(word)): n for (word, task), n in _by_two(fields, name).items() if word in known}


def _by_two(fields: Mapping[str, int], kind: str) -> dict[tuple[str, str], int]:
    """(second word, task): a task may have colons of its own."""
    found = {}
    for name, n in _by_task(fields, kind).items():
        word, _, task = name.partition(":")
        found[word, task] = n
    return found


def _timings(fields: Mapping[str, int], kind: str) -> Iterator[tuple[str, Timing]]:
    counted = _by_two(fields, kind)
    for task, ms in _by_task(fields, f"{kind}_ms").items():
        buckets = tuple(counted.get((bucket, task), 0) for bucket in _BUCKETS)
        yield task, Timing(buckets=buckets, total=timedelta(milliseconds=ms))
