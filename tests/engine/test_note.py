"""note: active stays active: how far a job is, and what it has to say."""

from __future__ import annotations

import math

import pytest

from server.engine.engine import Engine
from server.engine.errors import InvalidValue, LeaseLost
from server.engine.job import LogLine, Progress
from server.engine.work import LOG_LINES_KEPT, note
from tests.conftest import Clock
from tests.engine.hands import Worker, completed, look, put, released


def test_progress_is_seen_and_the_newest_stands(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    lease = worker.take_one().lease

    engine.run(note(lease, progress=(10, "begun")))
    clock.advance(seconds=1)
    engine.run(note(lease, progress=(62.5, "größer\nals vorher")))

    assert look(engine).progress == Progress(percent=62.5, message="größer\nals vorher", at=clock.now)


def test_log_lines_are_kept_in_their_order_with_their_attempt(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    lease = worker.take_one().lease

    engine.run(note(lease, line="one\ntwo"))
    engine.run(note(lease, line='"three"'))

    lines = [LogLine(at=clock.now, attempt=1, text=text) for text in ("one\ntwo", '"three"')]
    assert list(look(engine).logs) == lines
    assert look(engine).progress is None


def test_only_the_last_log_lines_are_kept(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    lease = worker.take_one().lease

    for n in range(LOG_LINES_KEPT + 5):
        engine.run(note(lease, line=str(n)))

    assert [line.text for line in look(engine).logs] == [str(n) for n in range(5, LOG_LINES_KEPT + 5)]


def test_notes_stay_when_the_job_has_ended(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(note(job.lease, progress=(100, "sent"), line="sent"))

    engine.run(completed(job))

    found = look(engine)
    assert found.progress is not None
    assert (found.progress.message, found.logs[0].text) == ("sent", "sent")


def test_only_the_holder_writes(engine: Engine, worker: Worker, other_worker: Worker) -> None:
    put(engine, "a")
    stale = worker.take_one()
    engine.run(released(stale))
    other_worker.take_one()

    with pytest.raises(LeaseLost, match=r"^the lease on job a is lost$"):
        engine.run(note(stale.lease, progress=(1, ""), line="late"))

    assert (look(engine).progress, look(engine).logs) == (None, ())


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan, math.inf])
def test_more_than_all_or_less_than_nothing_is_refused(engine: Engine, worker: Worker, percent: float) -> None:
    put(engine, "a")

    with pytest.raises(InvalidValue, match=r"^progress\.percent must lie between 0 and 100$"):
        note(worker.take_one().lease, progress=(percent, ""))


def test_half_a_character_does_not_stop_a_note(engine: Engine, worker: Worker) -> None:
    """A file name that is no UTF-8 comes with such halves."""
    put(engine, "a")

    engine.run(note(worker.take_one().lease, progress=(1, "\udcff"), line="\ud800"))

    assert look(engine).logs[0].text == "?"
