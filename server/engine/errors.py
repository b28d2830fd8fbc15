"""What the engine refuses, and why. Anything else that it raises is a bug.

EngineError
├── InvalidValue            a value that no queue could hold; names its field
├── NotFound
│   └── JobNotFound
├── Conflict
│   ├── JobExists           the job id belongs to another request
│   ├── IdempotencyKeyReused
│   ├── UniqueConflict
│   ├── JobInState          the verb does not apply to the state the job is in
│   ├── SecretsErased       it cannot run again
│   └── LeaseLost           this result is not taken
├── EventsLost              a watcher fell too far behind
└── BackendFault            Redis did not do its part; `is_outage` callers may simply try again
    ├── BackendUnavailable
    └── BackendFull
"""

from __future__ import annotations


class EngineError(Exception):
    """The root of all refusals."""


class InvalidValue(EngineError):
    """A value out of its range. `field` names it as the contract does."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(field, rule)
        self.field = field
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.field} {self.rule}"


class NotFound(EngineError):
    """What was asked for is not there, or is not there any more."""


class JobNotFound(NotFound):
    """No job of this id in this queue: it never was, or its retention is over."""

    def __init__(self, queue: str, job_id: str) -> None:
        super().__init__(queue, job_id)
        self.queue = queue
        self.job_id = job_id

    def __str__(self) -> str:
        return f"queue {self.queue} has no job {self.job_id}"


class Conflict(EngineError):
    """Right in itself, but not with what is there already. `job_id` is the job in the way."""

    def __init__(self, job_id: str, *, index: int = 0) -> None:
        super().__init__(job_id)
        self.job_id = job_id
        self.index = index  # which job of a batch was refused, from 0


class JobExists(Conflict):
    """The job id is taken by a request with other content."""

    def __str__(self) -> str:
        return f"job id {self.job_id} belongs to another request"


class IdempotencyKeyReused(Conflict):
    """The same idempotency key came with another request before; that job is untouched."""

    def __str__(self) -> str:
        return f"the idempotency key was used for another request, job {self.job_id}"


class UniqueConflict(Conflict):
    """Another job holds the unique key, and the caller asked to be refused or it cannot be replaced any more."""

    def __str__(self) -> str:
        return f"job {self.job_id} holds the unique key"


class JobInState(Conflict):
    """The verb does not apply to a job in this state. `advice`: what would, where there is something."""

    def __init__(self, job_id: str, state: str, *, advice: str = "") -> None:
        super().__init__(job_id)
        self.state = state
        self.advice = advice

    def __str__(self) -> str:
        return f"job {self.job_id} is {self.state}" + (f": {self.advice}" if self.advice else "")


class SecretsErased(Conflict):
    """The job's payload had secrets, which were erased when it ended: nobody could run it again."""

    def __str__(self) -> str:
        return f"job {self.job_id} had secrets in its payload, which were erased when it ended: enqueue it anew"


class LeaseLost(Conflict):
    """Someone else holds the job now, or nobody does: this result is not taken."""

    def __str__(self) -> str:
        return f"the lease on job {self.job_id} is lost"


class EventsLost(EngineError):
    """Changes after the cursor are not kept any more: whoever goes on from it would miss some."""

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self.queue = queue

    def __str__(self) -> str:
        return f"changes of queue {self.queue} after this cursor are gone: list its jobs, then watch without a cursor"


class BackendFault(EngineError):
    """Redis did not do its part. Nothing is known to be lost; the call may be repeated."""


class BackendUnavailable(BackendFault):
    """Redis cannot be reached, is loading, failing over or too slow. A write may or may not have happened."""

    def __str__(self) -> str:
        return "the queue's storage cannot be reached"


class BackendFull(BackendFault):
    """Redis is out of memory and takes no new work. What is there goes on and makes room."""

    def __str__(self) -> str:
        return "the queue's storage is full"
