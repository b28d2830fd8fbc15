"""Redis counts in whole ms, and nothing comes too early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.engine import moments


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_is_kept_to_the_ms_and_never_early(moment: datetime) -> None:
    kept = moments.moment(moments.epoch_ms(moment))

    assert timedelta(0) <= kept - moment < timedelta(milliseconds=1)
    assert moments.epoch_ms(kept) == moments.epoch_ms(moment)


@given(st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_span_is_never_shorter_than_it_was_asked_for(span: timedelta) -> None:
    assert timedelta(0) <= moments.milliseconds(span) * timedelta(milliseconds=1) - span < timedelta(milliseconds=1)
