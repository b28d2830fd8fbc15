"""What operators ask for: requests -> values, or a refusal that names the wrong field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from cabrank.v1 import admin_pb2 as pb
from google.protobuf.message import Message

from server.admin.bulk import Selection
from server.admin.listing import USUAL_SIZE, Listing
from server.engine.errors import InvalidValue
from server.engine.job import JobState
from server.engine.look import PAGE_LIMIT
from server.engine.names import checked_task
from server.engine.overrides import FIELDS, LONGEST_PERIOD, MOST_STARTS, Overrides
from server.engine.work import RateLimit
from server.rpc.faults import Faults
from server.rpc.intake import named
from server.rpc.job import STATE_OF
from server.rpc.times import span

_ORDERS = {pb.LIST_ORDER_UNSPECIFIED: None, pb.LIST_ORDER_OLDEST_FIRST: False, pb.LIST_ORDER_NEWEST_FIRST: True}
_SECOND = timedelta(seconds=1)


def listing(request: pb.ListJobsRequest) -> Listing:
    """Raises InvalidRequest."""
    faults = Faults()
    queue = faults.of(lambda: named(request), instead="")
    wanted = faults.of(lambda: state(request.state), instead=JobState.WAITING)
    kind = faults.of(lambda: task(request), instead="")
    if request.page_size < 0:
        faults.add("page_size", "must not be negative")
    if request.order not in _ORDERS:
        faults.add("order", f"has no value {request.order}")
    faults.refuse()
    return Listing(
        queue=queue,
        state=wanted,
        size=min(request.page_size or USUAL_SIZE, PAGE_LIMIT),
        newest_first=_ORDERS[request.order],
        task=kind,
        labels=dict(request.labels),
    )


def selection(request: pb.RetryFailedJobsRequest | pb.CleanQueueRequest | pb.PurgeQueueRequest) -> Selection:
    """Raises InvalidValue."""
    older_than = span(request, "older_than", timedelta(0))
    return Selection(older_than=older_than, limit=request.limit, dry_run=request.dry_run)


def overrides(request: pb.UpdateQueueRequest) -> Overrides:
    """Raises InvalidRequest, and InvalidValue when it changes nothing."""
    faults = Faults()
    settings = {name: faults.of(partial(_setting, name, request), instead=None) for name in _SETTINGS}
    rate_limit = _rate_limit(request.rate_limit, faults)
    if len(request.reset) > len(FIELDS):
        faults.add("reset", f"must not be more than {len(FIELDS)}")
    for n, name in enumerate(request.reset[: len(FIELDS)]):
        if name not in FIELDS:
            faults.add(f"reset[{n}]", f"must be one of {', '.join(FIELDS)}")
        elif request.HasField(name):  # type: ignore[arg-type]  # FIELDS are fields of the request
            faults.add(f"reset[{n}]", f"and {name} cannot be given together")
    faults.refuse()
    unlimited = request.HasField("rate_limit") and rate_limit is None
    found = Overrides(rate_limit=rate_limit, unlimited_rate=unlimited, **settings)
    if not found.names and not request.reset:
        raise InvalidValue("queue", "is all that was given: say what to change")
    return found


def state(number: int, *, absent: JobState | None = None) -> JobState:
    """Raises InvalidValue."""
    if number in STATE_OF:
        return STATE_OF[number]
    if number == 0 and absent is not None:
        return absent
    raise InvalidValue("state", f"has no value {number}" if number else "is missing")


def task(request: pb.ListJobsRequest | pb.RetryFailedJobsRequest) -> str:
    """The task whose jobs it asks for, empty for any. Raises InvalidValue."""
    return checked_task(request.task) if request.task else ""


def _setting(name: str, request: pb.UpdateQueueRequest) -> Any:
    """What is given for a field of Overrides, or None. Raises InvalidValue."""
    given = _SETTINGS[name](request)
    Overrides(**{name: given})  # by itself, so that one that is wrong does not hide another
    return given


def _rate_limit(given: pb.RateLimit, faults: Faults) -> RateLimit | None:
    """None: no limit."""
    period = faults.of(lambda: span(given, "period", _SECOND, path="rate_limit.period"), instead=_SECOND)
    if not 0 <= given.count <= MOST_STARTS:
        faults.add("rate_limit.count", f"must lie between 0 and {MOST_STARTS:,}")
    if not timedelta(milliseconds=1) <= period <= LONGEST_PERIOD:
        faults.add("rate_limit.period", "must lie between 1 ms and 24 h")
    elif given.count > 0:
        return RateLimit(count=given.count, period=period)
    return None


def _optional(message: Message, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


# Fields of Overrides -> what a request gives for them.
_SETTINGS: dict[str, Callable[[pb.UpdateQueueRequest], Any]] = {
    "concurrency": lambda request: _optional(request, "concurrency"),
    "completed_age": lambda request: span(request.completed_retention, "age", None, path="completed_retention.age"),
    "completed_count": lambda request: _optional(request.completed_retention, "count"),
    "failed_age": lambda request: span(request.failed_retention, "age", None, path="failed_retention.age"),
    "failed_count": lambda request: _optional(request.failed_retention, "count"),
    "healthy_failed": lambda request: _optional(request.health, "failed"),
    "healthy_waiting": lambda request: _optional(request.health, "waiting"),
    "healthy_stalled": lambda request: _optional(request.health, "stalled"),
    "needs_workers": lambda request: _optional(request.health, "workers"),
}
