"""What comes in becomes jobs: read by the catalog, filled up with what is usual for the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from cabrank.v1.queue_pb2 import CancelJobRequest, EnqueueBatchRequest, EnqueueRequest

from server.catalog import Catalog, NotInCatalog, Task
from server.engine.admit import BATCH_LIMIT
from server.engine.backoff import Backoff
from server.engine.errors import InvalidValue
from server.engine.job import NewJob
from server.engine.names import checked_job_id, new_job_id
from server.rpc import rules
from server.rpc.errors import BATCH_BYTES, BatchTooLarge, ItemRefused, PayloadTooLarge
from server.rpc.faults import Faults
from server.rpc.payload import payload_text
from server.settings import QueueSettings

_MOST_REASON = 200


class QueueRequest(Protocol):
    """A request about one queue."""

    queue: str


class JobRequest(QueueRequest, Protocol):
    """A request about one job that exists."""

    job_id: str


class TypedRequest(Protocol):
    """A request that has the fields of one task's payload for its own."""

    idempotency_key: str


class Intake:
    """Requests -> values, or a refusal that names every wrong field."""

    def __init__(self, catalog: Catalog, settings_of: Callable[[str], QueueSettings]) -> None:
        """`settings_of` knows the settings of a queue."""
        self._catalog = catalog
        # A job of each task as it is when a request says nothing: what it leaves out is taken from here.
        self._usual = {task.name: _usual(task, settings_of(task.queue)) for task in catalog.tasks.values()}

    def job(self, request: EnqueueRequest) -> NewJob:
        """Raises InvalidRequest, PayloadTooLarge, QueueNotFound, TaskNotFound."""
        faults = Faults()
        job = self._job(request, self._task(request), lambda: payload_text(request), faults)
        faults.refuse()
        return job

    def typed(self, task: Task[Any], request: TypedRequest) -> NewJob:
        """A job of `task` with the request's own fields as its payload. Raises InvalidRequest."""
        faults = Faults(typed=True)
        fields = {name: getattr(request, name) for name in task.payload.__struct_fields__}
        rest = EnqueueRequest(idempotency_key=request.idempotency_key)
        job = self._job(rest, task, lambda: msgspec.json.encode(fields), faults)
        faults.refuse()
        return job

    def batch(self, request: EnqueueBatchRequest) -> tuple[str, list[NewJob]]:
        """The queue and its jobs. Raises as `job`, BatchTooLarge, and ItemRefused where one item is to blame."""
        if len(request.jobs) > BATCH_LIMIT or request.ByteSize() > BATCH_BYTES:
            raise BatchTooLarge
        if not request.jobs:
            raise InvalidValue("jobs", f"must be 1 to {BATCH_LIMIT}")
        faults = Faults()
        queue = self._catalog.queue(request.queue) if request.queue else ""
        jobs = []
        for index, item in enumerate(request.jobs):
            faults.at = f"jobs[{index}]."
            job = self._item(index, item, faults)
            queue = queue or job.queue
            if job.queue != queue:
                faults.add("task", f"waits in {job.queue}, but this batch is for {queue}")
            jobs.append(job)
        faults.refuse()
        return queue, jobs

    def queue(self, request: QueueRequest) -> str:
        """The queue that it names. Raises InvalidValue, QueueNotFound."""
        return self._catalog.queue(named(request))

    def name(self, request: JobRequest) -> tuple[str, str]:
        """The queue and the id that name a job. Raises InvalidValue, QueueNotFound."""
        return self.queue(request), checked_job_id(request.job_id)

    def cancellation(self, request: CancelJobRequest) -> tuple[str, str, str]:
        """The queue, the id and the reason. Raises as `name`."""
        if len(request.reason) > _MOST_REASON:
            raise InvalidValue("reason", f"must not be longer than {_MOST_REASON} characters")
        return *self.name(request), request.reason

    def _item(self, index: int, item: EnqueueRequest, faults: Faults) -> NewJob:
        try:
            return self._job(item, self._task(item), lambda: payload_text(item), faults)
        except (NotInCatalog, PayloadTooLarge, InvalidValue) as refusal:
            raise ItemRefused(index, refusal) from refusal

    def _task(self, request: EnqueueRequest) -> Task[Any]:
        if request.queue:
            self._catalog.queue(request.queue)
        if not request.task:
            raise InvalidValue("task", "is missing")
        return self._catalog.task(request.task)

    def _job(
        self, request: EnqueueRequest, task: Task[Any], read_payload: Callable[[], bytes], faults: Faults
    ) -> NewJob:
        usual = self._usual[task.name]
        if request.queue not in ("", task.queue):
            faults.add("queue", f"must be {task.queue}, where {task.name} waits")
        payload = faults.of(lambda: _checked(task, read_payload()), instead=usual.payload)
        return faults.of(
            lambda: NewJob(
                queue=task.queue,
                id=request.job_id or new_job_id(),
                task=task.name,
                payload=payload,
                masked=_masked(task, payload),
                terms=_terms(request),
                priority=request.priority if request.HasField("priority") else usual.priority,
                delay=faults.of(lambda: rules.delay(request), instead=usual.delay),
                run_at=faults.moment(request, "run_at"),
                max_attempts=request.max_attempts or usual.max_attempts,
                backoff=faults.of(lambda: rules.backoff(request, usual.backoff), instead=usual.backoff),
                timeout=faults.span(request, "timeout", usual.timeout),
                expires_at=faults.moment(request, "expires_at"),
                retention=faults.span(request, "retention", usual.retention),
                idempotency_key=request.idempotency_key or None,
                unique=faults.of(lambda: rules.unique(request), instead=None),
                labels=dict(request.labels),
            ),
            instead=usual,
        )


def named(request: QueueRequest) -> str:
    """What it gives as the name of its queue. Raises InvalidValue where that is nothing."""
    if not request.queue:
        raise InvalidValue("queue", "is missing")
    return request.queue


def _checked(task: Task[Any], payload: bytes) -> bytes:
    task.check(payload)
    return payload


def _terms(request: EnqueueRequest) -> bytes:
    """What it says itself, whatever the settings of today make of what it does not say."""
    said = EnqueueRequest()
    said.CopyFrom(request)
    said.ClearField("queue")
    said.ClearField("task")
    said.ClearField("payload")
    said.ClearField("payload_json")
    said.ClearField("job_id")
    said.ClearField("idempotency_key")
    return said.SerializeToString(deterministic=True)


def _masked(task: Task[Any], payload: bytes) -> bytes | None:
    """None where there is nothing to hide."""
    masked = task.mask(payload)
    return masked if masked != payload else None


def _usual(task: Task[Any], queue: QueueSettings) -> NewJob:
    initial = task.retry_delay or queue.retry_delay
    return NewJob(
        queue=task.queue,
        id="usual",
        task=task.name,
        payload=b"{}",
        priority=task.priority,
        max_attempts=task.max_attempts or queue.max_retries + 1,
        backoff=Backoff(initial=initial, longest=max(initial, Backoff().longest)),
        timeout=task.timeout,
    )
