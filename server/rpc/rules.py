"""When a job may start and under which rules it runs, as a request asks for it. All raise InvalidValue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

from cabrank.v1 import job_pb2, queue_pb2
from cabrank.v1.queue_pb2 import EnqueueRequest

from server.engine.backoff import Backoff, BackoffKind
from server.engine.errors import InvalidValue
from server.engine.job import OnConflict, Unique
from server.rpc import times

T = TypeVar("T")
_KINDS: Mapping[int, BackoffKind] = {
    job_pb2.BACKOFF_KIND_EXPONENTIAL: BackoffKind.EXPONENTIAL,
    job_pb2.BACKOFF_KIND_FIXED: BackoffKind.FIXED,
    job_pb2.BACKOFF_KIND_LINEAR: BackoffKind.LINEAR,
}
_ON_CONFLICT: Mapping[int, OnConflict] = {
    queue_pb2.ON_CONFLICT_UNSPECIFIED: OnConflict.RETURN,
    queue_pb2.ON_CONFLICT_RETURN_EXISTING: OnConflict.RETURN,
    queue_pb2.ON_CONFLICT_REFUSE: OnConflict.REFUSE,
    queue_pb2.ON_CONFLICT_REPLACE: OnConflict.REPLACE,
}


def delay(request: EnqueueRequest) -> timedelta:
    if request.HasField("delay") and request.HasField("run_at"):
        raise InvalidValue("delay", "and run_at cannot be given together")
    return times.span(request, "delay", timedelta(0))


def backoff(request: EnqueueRequest, usual: Backoff) -> Backoff:
    """What the request leaves out is as usual; a usual maximum gives way to a longer `initial`."""
    if not request.HasField("backoff"):
        return usual
    given = request.backoff
    initial = times.span(given, "initial", usual.initial, path="backoff.initial")
    return Backoff(
        kind=_meant(given.kind, {job_pb2.BACKOFF_KIND_UNSPECIFIED: usual.kind, **_KINDS}, "backoff.kind"),
        initial=initial,
        longest=times.span(given, "max", max(initial, usual.longest), path="backoff.max"),
        multiplier=given.multiplier or usual.multiplier,
        jitter=given.jitter if given.HasField("jitter") else usual.jitter,
    )


def unique(request: EnqueueRequest) -> Unique | None:
    on_conflict = _meant(request.on_conflict, _ON_CONFLICT, "on_conflict")
    if request.unique_key:
        return Unique(key=request.unique_key, lasts=times.span(request, "unique_for", None), on_conflict=on_conflict)
    for field, given in (("unique_for", request.HasField("unique_for")), ("on_conflict", request.on_conflict)):
        if given:
            raise InvalidValue(field, "needs a unique_key")
    return None


def _meant(number: int, meanings: Mapping[int, T], field: str) -> T:
    if number not in meanings:
        raise InvalidValue(field, f"has no value {number}")
    return meanings[number]
