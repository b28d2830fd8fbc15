"""What is counted, and in which bucket."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

import pytest

from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, JobState
from server.engine.look import stats
from server.engine.totals import BOUNDS, Timing, Totals
from server.engine.work import Completion, Run, complete
from tests.conftest import Clock
from tests.engine.hands import QUEUE, TASK, Worker, put
from tests.engine.headers import FOLDER

MORE = len(BOUNDS)


def test_the_bounds_are_those_by_which_scripts_count() -> None:
    line = re.search(r"^local bounds = \{ (.*) \}$", (FOLDER / "include" / "timing.lua").read_text(), re.MULTILINE)

    assert line is not None
    assert tuple(map(int, line[1].split(", "))) == BOUNDS
    assert all(lower < upper for lower, upper in pairwise(BOUNDS))


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [
        (0, 0),
        *((bound, n) for n, bound in enumerate(BOUNDS)),
        *((bound + 1, n + 1) for n, bound in enumerate(BOUNDS)),
        (7 * 24 * 3_600_000, MORE),
    ],
)
def test_a_bound_belongs_to_the_bucket_that_it_ends(
    engine: Engine, clock: Clock, worker: Worker, ms: int, bucket: int
) -> None:
    put(engine, "a")
    clock.advance(milliseconds=ms)
    job = worker.take_one()
    clock.advance(milliseconds=ms)

    engine.run(complete(QUEUE, [Completion(run=Run(lease=job.lease, started_after=timedelta(0)))]))

    found = engine.run(stats(QUEUE)).totals
    for timing in (found.wait[TASK], found.run[TASK]):
        assert timing.buckets == tuple(int(n == bucket) for n in range(MORE + 1))
        assert (timing.count, timing.total) == (1, timedelta(milliseconds=ms))


def test_a_clock_that_goes_back_counts_as_no_time(engine: Engine, clock: Clock, worker: Worker) -> None:
    """A total never falls."""
    put(engine, "a")
    clock.advance(seconds=-5)
    job = worker.take_one()
    clock.advance(seconds=-5)

    engine.run(complete(QUEUE, [Completion(run=Run(lease=job.lease, started_after=timedelta(0)))]))

    found = engine.run(stats(QUEUE)).totals
    for timing in (found.wait[TASK], found.run[TASK]):
        assert (timing.buckets[0], timing.total) == (1, timedelta(0))


def test_names_are_read_by_what_they_count() -> None:
    found = Totals.read(
        {
            "enqueued:a.b": 5,
            "finished:failed:a.b": 2,
            "attempts:timed_out:a.b": 3,
            "retried:a.b": 1,
            "removed": 4,
            "run:5:a.b": 6,
            "run:more:a.b": 7,
            "run_ms:a.b": 8,
            "orphaned": 9,
        }
    )

    assert found == Totals(
        enqueued={"a.b": 5},
        finished={("a.b", JobState.FAILED): 2},
        attempts={("a.b", AttemptOutcome.TIMED_OUT): 3},
        retried={"a.b": 1},
        run={"a.b": Timing(buckets=(6, *[0] * (MORE - 1), 7), total=timedelta(milliseconds=8))},
        removed=4,
    )
    assert found.run["a.b"].count == 13
    assert (found.ended(JobState.FAILED), found.ended(JobState.COMPLETED)) == (2, 0)


def test_of_nothing_the_totals_are_nothing() -> None:
    assert Totals.read({}) == Totals()
