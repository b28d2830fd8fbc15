"""What goes on all the time in a worker process: rounds, sweeps, the look at time limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from dramatiq.middleware import TimeLimitExceeded
from structlog.testing import capture_logs

from server.dev.valkey import EmbeddedServer
from server.engine import admit, steer, work
from server.engine.engine import Engine
from server.engine.job import JobState
from server.engine.overrides import Overrides
from server.engine.store import Store
from server.engine.sweep import Retention, Retentions
from tests.conftest import Clock
from tests.workers.duty import QUEUE, new_job, probe
from tests.workers.hands import Seconds, leased
from workers.holding import Holding, Holdings, Reason
from workers.rounds import Rounds
from workers.strangers import Strangers
from workers.sweeper import Sweeper
from workers.timer import Timer

LOOK = probe()
LEASE = timedelta(seconds=15)


def test_a_round_that_fails_is_followed_by_the_next() -> None:
    rounds, third = [0], threading.Event()

    def once() -> None:
        rounds[0] += 1
        if rounds[0] == 3:
            third.set()
        raise ValueError("a bug")

    duty = Rounds("duty", once, every=lambda: 0.001)
    with capture_logs() as lines:
        duty.start()
        assert third.wait(20)
        duty.stop()

    assert [line["event"] for line in lines][:3] == ["round not finished"] * 3
    assert not duty._thread.is_alive()


def test_a_round_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.rounds._FAREWELL_SECONDS", 0.01)
    inside, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        let_go.wait(20)

    duty = Rounds("duty", hang, every=lambda: 0)
    duty.start()
    assert inside.wait(20)

    duty.stop()

    assert duty.ending
    let_go.set()


def test_a_round_comes_at_once_when_it_is_asked_for() -> None:
    came = threading.Event()
    duty = Rounds("duty", came.set, every=lambda: 1000)
    duty.start()

    duty.soon()

    assert came.wait(20)
    duty.stop()
    assert not duty._thread.is_alive(), "and so does the end"


def test_the_timer_interrupts_what_is_overdue_and_nothing_else() -> None:
    clock = Seconds()
    holdings = Holdings()
    told: dict[str, list[Reason]] = {}
    for job_id, seconds in (("short", 5), ("long", 60)):
        holding = Holding(leased(job_id, timeout=timedelta(seconds=seconds)), clock=clock)
        holdings.add(holding)
        holding.begin()
        holding.expose(told.setdefault(job_id, []).append)
    timer = Timer(holdings)

    timer.look()
    clock.now += 5
    timer.look()
    timer.look()

    assert told == {"short": [TimeLimitExceeded], "long": []}


def test_a_stranger_stays_away_for_longer_every_time() -> None:
    strangers = Strangers("email")

    delays = [strangers.delay(leased("a")).total_seconds() for _ in range(7)]

    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_a_stranger_does_not_pay_for_others_of_its_task() -> None:
    strangers = Strangers("email")

    delays = {strangers.delay(leased(str(n))).total_seconds() for n in range(100)}

    assert delays == {1}


def test_an_unknown_task_is_warned_about_once() -> None:
    strangers = Strangers("email")

    with capture_logs() as lines:
        for n in range(10):
            strangers.delay(leased(str(n), task="a.b"))
        strangers.delay(leased("x", task="c.d"))

    assert [(line["event"], line["task"]) for line in lines] == [
        ("task unknown to this worker", "a.b"),
        ("task unknown to this worker", "c.d"),
    ]


def test_strangers_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.strangers._MOST_REMEMBERED", 10)
    strangers = Strangers("email")

    for n in range(1000):
        strangers.delay(leased(str(n)))

    assert len(strangers._visits) <= 10


# The sweeper


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(valkey: EmbeddedServer, clock: Clock) -> Iterator[Engine]:
    with Engine(Store.parse(valkey.url), clock=clock) as engine:
        yield engine


def sweeper(engine: Engine, retentions: Retentions | None = None, *, lease: timedelta = LEASE) -> Sweeper:
    return Sweeper(engine, queues=(QUEUE,), retentions=lambda _: retentions or Retentions(), lease=lease)


def states(engine: Engine, *job_ids: str) -> list[JobState | None]:
    return engine.run(admit.states(QUEUE, job_ids))


def taken(engine: Engine, count: int, lease: timedelta = LEASE) -> list[Holding]:
    engine.run(admit.enqueue(QUEUE, [new_job(LOOK) for _ in range(count)]))
    reservation = engine.run(work.reserve(QUEUE, worker="dead", number=1, want=count, lease=lease))
    return [Holding(job) for job in reservation.jobs]


def test_a_sweep_lines_up_what_is_due(engine: Engine, clock: Clock) -> None:
    job = new_job(LOOK, delay=timedelta(seconds=10))
    engine.run(admit.enqueue(QUEUE, [job]))
    clock.advance(seconds=10)

    sweeper(engine).sweep(QUEUE)

    assert states(engine, job.id) == [JobState.WAITING]


def test_a_sweep_takes_back_what_dead_workers_held(engine: Engine, clock: Clock) -> None:
    (holding,) = taken(engine, 1)
    sweep = sweeper(engine)
    for _ in range(7):
        clock.advance(seconds=3)
        with capture_logs() as lines:
            sweep.sweep(QUEUE)
        if lines:
            break

    job_id = holding.job.request.id
    assert [(line["event"], line["job_id"], line["became"]) for line in lines] == [
        ("probe job reclaimed", job_id, "waiting")
    ]
    assert states(engine, job_id) == [JobState.WAITING]


@pytest.mark.parametrize("seconds", [0.5, 2, 15, 3600])
def test_after_an_outage_that_outlasted_the_lease_the_living_get_time_to_extend(
    engine: Engine, clock: Clock, seconds: float
) -> None:
    lease = timedelta(seconds=seconds)
    (holding,) = taken(engine, 1, lease)
    sweep = sweeper(engine, lease=lease)
    sweep.sweep(QUEUE)
    clock.advance(lease)

    sweep.sweep(QUEUE)
    spared = states(engine, holding.job.request.id)
    clock.advance(lease / 8)
    engine.run(work.extend(QUEUE, [holding.run], lease=lease))
    clock.advance(lease / 2)
    sweep.sweep(QUEUE)

    assert spared == states(engine, holding.job.request.id) == [JobState.ACTIVE]


def test_a_sweep_prunes_all_that_is_too_old_however_much(engine: Engine, clock: Clock) -> None:
    holdings = taken(engine, 1000)
    runs = [work.Completion(run=holding.run) for holding in holdings]
    engine.run(work.complete(QUEUE, runs))
    clock.advance(hours=1)
    short = Retention(age=timedelta(minutes=30), count=10_000)

    sweeper(engine, Retentions(completed=short)).sweep(QUEUE)

    assert set(states(engine, *(holding.job.request.id for holding in holdings))) == {None}


def test_a_sweep_keeps_ended_jobs_for_as_long_as_operators_say(engine: Engine, clock: Clock) -> None:
    """And not for as long as the environment of this worker does."""
    (holding,) = taken(engine, 1)
    engine.run(work.complete(QUEUE, [work.Completion(run=holding.run)]))
    engine.run(steer.update(QUEUE, Overrides(completed_age=timedelta(minutes=30))))
    clock.advance(hours=1)

    sweeper(engine, Retentions(completed=Retention(age=timedelta(days=1), count=10_000))).sweep(QUEUE)

    assert states(engine, holding.job.request.id) == [None]
