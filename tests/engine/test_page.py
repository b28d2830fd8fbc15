"""page: the jobs of a state, some at a time, while others come and go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.engine.call import keys_of
from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.job import JobState, Unique
from server.engine.look import PAGE_LIMIT, Page, Place, page
from server.engine.mend import hasten, remove
from server.engine.moments import moment
from server.engine.work import extend
from tests.conftest import Clock
from tests.engine.hands import LEASE, QUEUE, Worker, completed, new_job, put, retried, run_of

SECOND = timedelta(seconds=1)
MOST_PAGES = 50  # that any list here has
DELAYED, WAITING, COMPLETED = JobState.DELAYED, JobState.WAITING, JobState.COMPLETED
# What a locale sorts otherwise than by bytes: capitals, hyphens, digits, one that begins another.
UNLIKE = ["B", "a", "A", "b", "ab", "a-b", "aB", "a_b", "a.b", "a1", "a10", "a2", "Z-1", "z1", "a:b", "0"]


def names(found: Page) -> list[str]:
    return [place.job_id for place in found.places]


def all_pages(engine: Engine, state: JobState, count: int, **how: Any) -> list[str]:
    found: list[str] = []
    after = None
    for _ in range(MOST_PAGES):
        step = engine.run(page(QUEUE, state, count=count, after=after, **how))
        assert len(step.places) <= count
        found += names(step)
        if not step.more:
            return found
        after = step.places[-1]
    raise AssertionError("the pages never come to an end")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_pages_together_are_the_whole_line(engine: Engine, worker: Worker, count: int, backwards: bool) -> None:
    jobs = [new_job(f"j{n}", priority=n % 3) for n in range(7)]
    put(engine, *jobs)
    line = [job.id for job in sorted(jobs, key=lambda job: -job.priority)]

    assert all_pages(engine, WAITING, count, newest_first=backwards) == (line[::-1] if backwards else line)


@pytest.mark.parametrize("state", [DELAYED, COMPLETED])
def test_others_stand_by_when_they_are_due_or_ended(
    engine: Engine, clock: Clock, worker: Worker, state: JobState
) -> None:
    for n, name in enumerate("cab"):
        put(engine, new_job(name, delay=(9 - n) * SECOND if state is DELAYED else timedelta(0)))
        if state is COMPLETED:
            engine.run(completed(worker.take_one()))
        clock.advance(milliseconds=1)

    assert all_pages(engine, state, 2) == list("bac" if state is DELAYED else "cab")
    assert all_pages(engine, state, 2, newest_first=True) == list("cab" if state is DELAYED else "bac")


def test_of_an_empty_state_there_is_one_empty_page(engine: Engine) -> None:
    for state in JobState:
        for backwards in (False, True):
            found = engine.run(page(QUEUE, state, count=5, newest_first=backwards))
            assert found == Page(places=[], more=False, total=0)


def test_a_full_last_page_is_the_last(engine: Engine) -> None:
    put(engine, *"abcd")
    first = engine.run(page(QUEUE, WAITING, count=2))
    second = engine.run(page(QUEUE, WAITING, count=2, after=first.places[-1]))

    assert (first.more, second.more) == (True, False)
    assert (first.total, second.total) == (4, 4)


@pytest.mark.parametrize("backwards", [False, True])
def test_many_jobs_of_one_moment_are_told_apart_by_their_ids(engine: Engine, backwards: bool) -> None:
    """Byte by byte, as Redis orders them, whatever the locale of the server says."""
    put(engine, *(new_job(name, delay=SECOND) for name in UNLIKE))

    found = all_pages(engine, DELAYED, 1, newest_first=backwards)

    assert found == sorted(UNLIKE, reverse=backwards)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_list_goes_on_where_its_last_job_was_also_when_that_is_gone(engine: Engine, backwards: bool) -> None:
    put(engine, *(new_job(name, delay=SECOND) for name in "abcdef"))
    first = engine.run(page(QUEUE, DELAYED, count=3, newest_first=backwards))

    engine.run(remove(QUEUE, names(first)))

    second = engine.run(page(QUEUE, DELAYED, count=3, after=first.places[-1], newest_first=backwards))
    assert names(second) == list("cba" if backwards else "def")


def test_until_leaves_out_what_ended_later(engine: Engine, clock: Clock, worker: Worker) -> None:
    for name in "abc":
        put(engine, name)
        engine.run(completed(worker.take_one()))
        clock.advance(SECOND)
    until = clock.now - 2 * SECOND

    assert all_pages(engine, COMPLETED, 1, until=until) == ["a", "b"]
    assert all_pages(engine, COMPLETED, 1, until=until, newest_first=True) == ["b", "a"]
    assert engine.run(page(QUEUE, COMPLETED, count=1, until=until)).total == 2
    assert all_pages(engine, COMPLETED, 9, until=until - timedelta(milliseconds=1)) == ["a"]


@pytest.mark.parametrize("backwards", [False, True])
def test_what_fails_again_behind_the_end_that_was_set_is_not_met_again(
    engine: Engine, clock: Clock, worker: Worker, backwards: bool
) -> None:
    """So a walk over what has ended comes to its end, however fast others end."""
    put(engine, *"abc")
    engine.run(completed(*worker.take()))
    until = clock.now
    clock.advance(milliseconds=1)
    first = engine.run(page(QUEUE, COMPLETED, count=2, until=until, newest_first=backwards))
    put(engine, *"def")
    engine.run(completed(*worker.take()))

    second = engine.run(page(QUEUE, COMPLETED, count=9, after=first.places[-1], until=until, newest_first=backwards))

    assert sorted(names(first) + names(second)) == list("abc")
    assert not second.more


@pytest.mark.parametrize("backwards", [False, True])
def test_the_active_stand_by_id_for_their_leases_move(
    engine: Engine, clock: Clock, worker: Worker, backwards: bool
) -> None:
    put(engine, *"dbac")
    jobs = worker.take()
    first = engine.run(page(QUEUE, JobState.ACTIVE, count=2, newest_first=backwards))
    clock.advance(SECOND)
    engine.run(extend(QUEUE, [run_of(job) for job in jobs[1:]], lease=LEASE))

    second = engine.run(page(QUEUE, JobState.ACTIVE, count=2, after=first.places[-1], newest_first=backwards))

    assert names(first) + names(second) == sorted("abcd", reverse=backwards)
    assert (first.more, second.more, first.total) == (True, False, 4)


def test_a_job_that_leaves_and_comes_back_stands_where_it_is_now(engine: Engine, worker: Worker) -> None:
    """Whoever left the state may be met again: only those that stayed are promised to be met once."""
    put(engine, *"abc")
    first = engine.run(page(QUEUE, WAITING, count=1))
    engine.run(retried(worker.take_one()))
    engine.run(hasten(QUEUE, "a"))

    rest = engine.run(page(QUEUE, WAITING, count=9, after=first.places[-1]))

    assert names(first) + names(rest) == ["a", "b", "c", "a"]


@pytest.mark.parametrize("count", [0, -1, PAGE_LIMIT + 1])
def test_a_size_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(InvalidValue, match=r"^page_size must lie between 1 and 1,000$"):
        page(QUEUE, WAITING, count=count)


def test_the_largest_page_is_given(engine: Engine) -> None:
    put(engine, *(new_job(f"j{n:04}", unique=Unique(key=f"{n}")) for n in range(PAGE_LIMIT)))

    found = engine.run(page(QUEUE, WAITING, count=PAGE_LIMIT))

    assert (len(found.places), found.more) == (PAGE_LIMIT, False)


# Few scores, so that many stand at the same one.
crowds = st.dictionaries(st.sampled_from(UNLIKE), st.integers(1, 3), max_size=len(UNLIKE))
steps = st.lists(st.tuples(crowds, st.sets(st.sampled_from(UNLIKE))), max_size=12)


@given(at_first=crowds, steps=steps, count=st.integers(1, 4), backwards=st.booleans(), last=st.sampled_from([None, 2]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_and_goes_what_stays_is_met_once(
    engine: Engine,
    raw: redis.Redis,
    at_first: dict[str, int],
    steps: list[tuple[dict[str, int], set[str]]],
    count: int,
    backwards: bool,
    last: int | None,
) -> None:
    """Between two pages some jobs leave for good and others come, anywhere in the order."""
    (key,) = keys_of(QUEUE, [COMPLETED])
    raw.delete(key)
    there = dict(at_first)
    if there:
        raw.zadd(key, there)
    stayed, left, met = set(at_first), set[str](), list[Place]()
    churn = iter(steps)
    pages = 0
    until = moment(last) if last else None
    while True:
        pages += 1
        assert pages < MOST_PAGES
        found = engine.run(
            page(QUEUE, COMPLETED, count=count, after=met[-1] if met else None, newest_first=backwards, until=until)
        )
        met += found.places
        if not found.more:
            break
        come, go = next(churn, ({}, set[str]()))
        left |= go & there.keys()
        stayed -= go
        come = {name: score for name, score in come.items() if name not in there.keys() | left}
        there = {name: score for name, score in (there | come).items() if name not in go}
        raw.delete(key)
        if there:
            raw.zadd(key, there)

    ids = [place.job_id for place in met]
    assert len(ids) == len(set(ids))
    assert set(ids) >= {name for name in stayed if last is None or at_first[name] <= last}
    order = [(float(place.score), place.job_id.encode()) for place in met]
    assert order == sorted(order, reverse=backwards)
    assert last is None or all(float(place.score) <= last for place in met)
