"""The judgement on queues: which of their thresholds they have passed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from server.admin.rules import Rules
from server.engine.job import JobState
from server.engine.look import Stats


class IssueKind(StrEnum):
    """What can be wrong with a queue."""

    FAILED = "failed"
    WAITING = "waiting"
    STALLED = "stalled"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One threshold that was passed."""

    queue: str
    kind: IssueKind
    observed: int
    threshold: int  # how many may be; of workers: must be

    def __str__(self) -> str:
        if self.kind is IssueKind.WORKERS:
            return f"{self.queue}: no workers"
        return f"{self.queue}: {self.observed} {self.kind} job{'' if self.observed == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A queue as it is now, and the settings that hold for it."""

    name: str
    stats: Stats
    rules: Rules
    has_tasks: bool

    @property
    def needs_workers(self) -> bool:
        """A queue that no task names and that holds nothing misses nobody."""
        unfinished = any(n for state, n in self.stats.jobs.items() if not state.terminal)
        return self.rules.needs_workers and (self.has_tasks or unfinished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All queues, and what is wrong with them."""

    queues: list[Overview]
    issues: list[Issue]

    @property
    def healthy(self) -> bool:
        return not self.issues

    @classmethod
    def of(cls, queues: list[Overview]) -> Health:
        return cls(queues=queues, issues=[issue for queue in queues for issue in issues_of(queue)])


def issues_of(queue: Overview) -> Iterator[Issue]:
    """In the order in which a person would look at them."""
    stats, rules = queue.stats, queue.rules
    for kind, observed, threshold in (
        (IssueKind.FAILED, stats[JobState.FAILED], rules.healthy_failed),
        (IssueKind.WAITING, stats[JobState.WAITING], rules.healthy_waiting),
        (IssueKind.STALLED, stats.stalled, rules.healthy_stalled),
    ):
        if observed > threshold:
            yield Issue(queue=queue.name, kind=kind, observed=observed, threshold=threshold)
    if queue.needs_workers and not stats.workers:
        yield Issue(queue=queue.name, kind=IssueKind.WORKERS, observed=0, threshold=1)
