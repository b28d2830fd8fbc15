"""Google's times and ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cabrank.v1.queue_pb2 import EnqueueRequest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from server.engine.errors import InvalidValue
from server.rpc.times import duration, moment, span, timestamp

YEAR_ONE, YEAR_9999 = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 -- hypothesis adds the zone
moments = st.datetimes(YEAR_ONE, YEAR_9999, timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=123_000))
spans = st.integers(0, 10**12).map(lambda ms: timedelta(milliseconds=ms))


@given(moments)
def test_a_moment_survives_the_way_there_and_back(at: datetime) -> None:
    assert moment(EnqueueRequest(run_at=timestamp(at)), "run_at") == at


@given(spans)
def test_a_span_survives_the_way_there_and_back(length: timedelta) -> None:
    assert span(EnqueueRequest(delay=duration(length)), "delay", timedelta(0)) == length


def test_a_wait_is_rounded_up_to_milliseconds() -> None:
    assert span(EnqueueRequest(delay=Duration(nanos=1)), "delay", timedelta(0)) == timedelta(milliseconds=1)


def test_absent_stays_absent() -> None:
    assert span(EnqueueRequest(), "retention", None) is None
    assert moment(EnqueueRequest(), "run_at") is None


@pytest.mark.parametrize(
    "given", [Duration(seconds=-1), Duration(nanos=-1), Duration(nanos=10**9), Duration(seconds=2**62)]
)
def test_what_protobuf_calls_no_duration_is_refused(given: Duration) -> None:
    with pytest.raises(InvalidValue, match=r"backoff\.max"):
        span(EnqueueRequest(delay=given), "delay", timedelta(0), path="backoff.max")


@pytest.mark.parametrize("given", [Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(nanos=-1)])
def test_what_protobuf_calls_no_timestamp_is_refused(given: Timestamp) -> None:
    with pytest.raises(InvalidValue, match="run_at"):
        moment(EnqueueRequest(run_at=given), "run_at")
