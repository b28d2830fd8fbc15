"""What goes into Redis comes out of it as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.engine import record
from server.engine.admit import cancel
from server.engine.backoff import Backoff, BackoffKind
from server.engine.engine import Engine
from server.engine.job import NewJob, Unique
from server.engine.names import new_job_id
from tests.engine.hands import Worker, completed, look, new_job, put

# One server for all examples of a test: each brings a job with an id of its own.
on_one_server = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(st.characters(codec="utf-8"), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """JSON as programs and as people write it."""
    value = draw(json_values)
    spaced: dict[str, Any] = {"indent": draw(st.sampled_from([None, 2])), "ensure_ascii": draw(st.booleans())}
    blank = draw(st.sampled_from(["", " ", "\n", "\t \r\n"]))
    return (blank + json.dumps(value, **spaced) + blank).encode()


@on_one_server
@given(payload=payloads() | st.binary(min_size=1))
@example(payload=b"[]")
@example(payload=b"{}")
@example(payload=b' {"n" : 12345678901234567890, "e": 1E400, "z": 0.10, "x": [ ] } \n')
@example(payload=b'"\\u0000\\ud800"')
@example(payload=bytes(range(256)))
@example(payload=b"\n\n")
def test_payload_bytes_out_are_payload_bytes_in(engine: Engine, worker: Worker, payload: bytes) -> None:
    """Also those that would not survive a parser: blanks, big numbers, twice the same key, what is no JSON at all."""
    job_id = new_job_id()
    put(engine, new_job(job_id, payload=payload))

    job = worker.take_one()

    assert (job.request.id, job.payload) == (job_id, payload)
    assert look(engine, job_id).request.payload == payload
    engine.run(completed(job, result=payload))
    assert look(engine, job_id).result == payload


@on_one_server
@given(payload=st.binary(min_size=1), masked=st.binary(min_size=1))
def test_a_masked_payload_is_seen_by_all_and_the_real_one_by_its_worker(
    engine: Engine, worker: Worker, payload: bytes, masked: bytes
) -> None:
    job_id = new_job_id()
    put(engine, new_job(job_id, payload=payload, masked=masked))

    job = worker.take_one()

    assert (job.payload, job.request.payload) == (payload, masked)
    assert look(engine, job_id).request.payload == masked
    engine.run(completed(job))


spans = st.timedeltas(timedelta(seconds=1), timedelta(days=1)).map(lambda span: span - span % timedelta(milliseconds=1))
moments = st.datetimes(datetime(2031, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
jobs = st.builds(
    new_job,
    st.builds(new_job_id),
    priority=st.integers(-100, 100),
    max_attempts=st.integers(1, 1000),
    timeout=spans,
    expires_at=st.none() | moments,
    retention=st.none() | spans,
    labels=st.dictionaries(texts.filter(bool), texts, max_size=16),
    unique=st.none() | st.builds(Unique, key=texts.filter(bool)),
    backoff=st.builds(
        Backoff,
        kind=st.sampled_from(BackoffKind),
        initial=spans,
        longest=st.just(timedelta(days=2)),
        multiplier=st.floats(1, 100),
        jitter=st.floats(0, 1),
    ),
)


@on_one_server
@given(job=jobs)
def test_a_request_comes_back_as_it_was(engine: Engine, job: NewJob) -> None:
    put(engine, job)

    request = look(engine, job.id).request

    for name in ("queue", "id", "task", "payload", "priority", "max_attempts", "backoff", "timeout", "labels"):
        assert getattr(request, name) == getattr(job, name)
    assert (request.expires_at, request.retention) == (job.expires_at, job.retention)
    assert request.unique_key == (job.unique and job.unique.key)
    engine.run(cancel(job.queue, job.id))


FIELDS = ("priority", "max_attempts", "timeout", "expires_at", "retention", "labels", "unique", "backoff")


@given(jobs, jobs)
def test_two_requests_have_one_fingerprint_only_when_they_are_the_same(one: NewJob, other: NewJob) -> None:
    def fingerprint(job: NewJob) -> str:
        return record.fingerprint(job, record.body(job))

    def content(job: NewJob) -> dict[str, Any]:
        return {field: getattr(job, field) for field in FIELDS}

    assert (fingerprint(one) == fingerprint(other)) == (content(one) == content(other))
    assert fingerprint(one) == fingerprint(new_job("another-id", **content(one)))
