"""Which changes a watcher asks for, and changes as the contract shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from cabrank.v1.job_pb2 import JOB_STATE_UNSPECIFIED
from cabrank.v1.queue_pb2 import JobChange, WatchJobsRequest

from server.engine.errors import InvalidValue
from server.engine.events import Change, Event
from server.engine.job import JobState
from server.engine.names import checked_job_id, checked_task
from server.rpc.faults import Faults
from server.rpc.job import STATE_OF, STATES
from server.rpc.times import timestamp

_MOST_JOBS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is empty asks for any."""

    task: str = ""
    states: frozenset[JobState] = frozenset()
    job_ids: frozenset[str] = frozenset()

    @classmethod
    def read(cls, request: WatchJobsRequest) -> Self:
        """Raises InvalidRequest."""
        faults = Faults()
        if request.task:
            faults.of(lambda: checked_task(request.task), instead="")
        states = frozenset(_states(request, faults))
        _check_job_ids(request, faults)
        faults.refuse()
        return cls(task=request.task, states=states, job_ids=frozenset(request.job_ids))

    def any_in(self, events: Sequence[Event]) -> bool:
        return any(self._concerns(change) for event in events for change in event.changes)

    def of(self, event: Event) -> Iterator[JobChange]:
        """What is wanted of it, one for each job."""
        at = timestamp(event.at)
        for change in filter(self._concerns, event.changes):
            state = STATES[change.state] if change.state else JOB_STATE_UNSPECIFIED
            for job_id in change.job_ids:
                if not self.job_ids or job_id in self.job_ids:
                    yield JobChange(job_id=job_id, task=change.task, state=state, removed=change.state is None, time=at)

    def _concerns(self, change: Change) -> bool:
        """A job that is gone has neither task nor state: whoever asks for one of those is not told."""
        if self.task and change.task != self.task:
            return False
        if self.states and change.state not in self.states:
            return False
        return not self.job_ids or not self.job_ids.isdisjoint(change.job_ids)


def _states(request: WatchJobsRequest, faults: Faults) -> Iterator[JobState]:
    # First of all: a request has room for millions of them, and each would be a fault of its own.
    if len(request.states) > len(STATES):
        faults.add("states", f"must not be more than {len(STATES)}")
        return
    for n, number in enumerate(request.states):
        if number in STATE_OF:
            yield STATE_OF[number]
        else:
            faults.add(f"states[{n}]", f"has no value {number}" if number else "is missing")


def _check_job_ids(request: WatchJobsRequest, faults: Faults) -> None:
    if len(request.job_ids) > _MOST_JOBS:
        faults.add("job_ids", f"must not be more than {_MOST_JOBS:,}")
        return
    for n, job_id in enumerate(request.job_ids):
        try:
            checked_job_id(job_id)
        except InvalidValue as refusal:
            faults.add(f"job_ids[{n}]", refusal.rule)
