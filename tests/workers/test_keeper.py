"""Leases are extended, and their losses and cancellations heard of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.dev.valkey import EmbeddedServer
from server.engine import admit, steer, work
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import BackendUnavailable
from server.engine.job import Job, LeasedJob
from server.engine.store import Store
from server.engine.work import Release
from tests.workers.duty import new_job, probe
from tests.workers.hands import Seconds
from workers import keeper
from workers.holding import Holding, Holdings, JobCancelled, LeaseGone, Reason, Stage
from workers.keeper import Keeper
from workers.outcome import Settlement, Stop
from workers.settler import Settler

HERE, THERE = probe(queue="here"), probe("probe.there", queue="there")
LEASE = timedelta(seconds=15)


class Partly(Engine):
    """An engine that cannot reach the queues named here."""

    unreachable: tuple[str, ...] = ()
    bug: Exception = BackendUnavailable()
    on_the_way: Callable[[], None] = staticmethod(lambda: None)

    def run(self, call: Call[Any]) -> Any:
        self.on_the_way()
        if any(f"{{{queue}}}" in call.keys[0] for queue in self.unreachable):
            raise self.bug
        return super().run(call)


class Deaf(Settler):
    """Keeps to itself what it is told."""

    def __init__(self, engine: Engine, holdings: Holdings, settled: list[Settlement]) -> None:
        super().__init__(engine, holdings, told=lambda *_: None)
        self._settled = settled

    def settle(self, holding: Holding, settlement: Settlement) -> None:  # noqa: ARG002
        self._settled.append(settlement)


class Watch:
    """A keeper whose beats the test gives."""

    def __init__(self, engine: Partly) -> None:
        self.engine = engine
        self.clock = Seconds()
        self.holdings = Holdings()
        self.settled: list[Settlement] = []
        self.unstocked: list[Holding] = []
        settler = Deaf(engine, self.holdings, self.settled)
        self.keeper = Keeper(
            engine, self.holdings, settler, lease=LEASE, unstock=self.unstocked.append, clock=self.clock
        )

    def hold(self, task: Any = HERE, lease: timedelta = timedelta(seconds=1)) -> Holding:
        """One that was reserved for so short a time that its extension shows."""
        self.engine.run(admit.enqueue(task.queue, [new_job(task)]))
        reservation = self.engine.run(
            work.reserve(task.queue, worker="w", number=len(self.holdings) + 1, want=1, lease=lease)
        )
        job: LeasedJob = reservation.jobs[0]
        holding = Holding(job, good_until=self.clock.now + lease.total_seconds(), clock=self.clock)
        self.holdings.add(holding)
        return holding

    def job(self, holding: Holding) -> Job:
        return self.engine.run(admit.get(holding.job.lease.queue, holding.job.lease.job_id))  # type: ignore[no-any-return]

    def extended(self, holding: Holding) -> bool:
        ends = self.job(holding).lease_ends_at
        return ends is not None and ends - holding.job.reserved_at > timedelta(seconds=5)

    def unstarted(self, queue: str = "here") -> int:
        return self.engine.run(steer.unstarted(queue))  # type: ignore[no-any-return]

    def take_away(self, holding: Holding) -> None:
        self.engine.run(work.release(holding.job.lease.queue, [Release(lease=holding.job.lease)]))


@pytest.fixture
def watch(valkey: EmbeddedServer) -> Iterator[Watch]:
    with Partly(Store.parse(valkey.url)) as engine:
        yield Watch(engine)


def running(holding: Holding) -> list[Reason]:
    """Lets it begin. Returns what it will be interrupted with."""
    reasons: list[Reason] = []
    holding.begin()
    holding.expose(reasons.append)
    return reasons


def test_a_beat_extends_every_lease(watch: Watch) -> None:
    holdings = [watch.hold(HERE), watch.hold(HERE), watch.hold(THERE)]

    watch.keeper.beat()

    assert all(watch.extended(holding) for holding in holdings)


def test_a_beat_tells_when_a_job_started(watch: Watch) -> None:
    holding = watch.hold()
    watch.clock.now += 0.5
    running(holding)

    watch.keeper.beat()

    (attempt,) = watch.job(holding).attempts
    assert attempt.started_at == holding.job.reserved_at + timedelta(seconds=0.5)


@pytest.mark.parametrize("bug", [BackendUnavailable(), KeyError("a bug")])
def test_a_queue_that_cannot_be_reached_does_not_cost_others_their_leases(watch: Watch, bug: Exception) -> None:
    lost, kept = watch.hold(HERE), watch.hold(THERE)
    watch.engine.unreachable, watch.engine.bug = ("here",), bug

    with capture_logs() as lines:
        watch.keeper.beat()
        watch.keeper.beat()
    watch.engine.unreachable = ()

    assert (watch.extended(lost), watch.extended(kept)) == (False, True)
    assert [line["event"] for line in lines] == ["leases not extended"], "once per outage"


def test_a_running_job_whose_lease_is_lost_is_interrupted(watch: Watch) -> None:
    holding = watch.hold()
    reasons = running(holding)
    watch.take_away(holding)

    watch.keeper.beat()
    watch.keeper.beat()

    assert reasons == [LeaseGone]


def test_a_job_that_is_lost_before_it_starts_is_let_go(watch: Watch) -> None:
    holding = watch.hold()
    watch.take_away(holding)

    watch.keeper.beat()

    assert not holding.begin()
    assert len(watch.holdings) == 0
    assert watch.settled == []


def test_a_job_whose_end_is_being_told_is_not_lost(watch: Watch) -> None:
    """Its settlement took the lease along: the settler is about to say so."""
    holding = watch.hold()
    reasons = running(holding)
    holding.end()
    watch.take_away(holding)

    watch.keeper.beat()

    assert reasons == []
    assert holding.stage is Stage.OVER
    assert list(watch.holdings) == [holding]


def test_a_running_job_that_was_cancelled_is_interrupted_once(watch: Watch) -> None:
    holding = watch.hold()
    reasons = running(holding)
    watch.engine.run(admit.cancel("here", holding.job.lease.job_id))

    watch.keeper.beat()
    watch.keeper.beat()

    assert holding.cancelled
    assert reasons == [JobCancelled]
    assert watch.settled == []


def test_a_job_that_was_cancelled_before_it_starts_is_stopped(watch: Watch) -> None:
    holding = watch.hold()
    watch.engine.run(admit.cancel("here", holding.job.lease.job_id))

    watch.keeper.beat()
    watch.keeper.beat()

    assert not holding.begin()
    assert watch.settled == [Stop(run=holding.run)]


def test_what_has_not_started_when_its_queue_is_paused_is_handed_back(watch: Watch) -> None:
    here, there = watch.hold(HERE), watch.hold(THERE)
    watch.engine.run(steer.pause("here"))

    watch.keeper.beat()
    watch.keeper.beat()

    assert not here.begin()
    assert watch.settled == [Release(lease=here.job.lease)]
    assert there.begin()


def test_what_runs_when_its_queue_is_paused_is_told_as_started_and_goes_on(watch: Watch) -> None:
    reasons = running(watch.hold())
    watch.engine.run(steer.pause("here"))
    assert watch.unstarted() == 1

    watch.keeper.beat()

    assert watch.unstarted() == 0
    assert (reasons, watch.settled) == ([], [])


def test_what_is_on_its_way_to_its_body_counts_as_unstarted(watch: Watch) -> None:
    """Who pauses the queue waits for it: it can neither be handed back nor has anything of it happened yet."""
    holding = watch.hold()
    holding.begin()
    watch.engine.run(steer.pause("here"))
    watch.keeper.beat()
    on_the_way = watch.unstarted()

    holding.expose(lambda _: None)
    watch.keeper.beat()

    assert (on_the_way, watch.unstarted(), watch.settled) == (1, 0, [])


def test_beats_come_quickly_until_nothing_of_a_paused_queue_may_start(watch: Watch) -> None:
    holding = watch.hold()
    watch.engine.run(steer.pause("here"))
    pauses = [watch.keeper._every()]
    running(holding)
    for _ in range(2):
        watch.keeper.beat()
        pauses.append(watch.keeper._every())

    assert pauses == [keeper._BEAT, keeper._PAUSED_BEAT, keeper._BEAT]


def test_a_lease_that_a_beat_extended_is_counted_from_before_the_call(watch: Watch) -> None:
    """However long the answer takes: Redis may have extended it at once."""
    in_time, too_late = watch.hold(), watch.hold()
    watch.engine.on_the_way = lambda: setattr(watch.clock, "now", watch.clock.now + 10)
    watch.keeper.beat()

    watch.clock.now += 4.9
    assert in_time.begin()
    watch.clock.now += 0.1
    assert not too_late.begin()


@pytest.mark.parametrize("failure", ["away", "lost", "paused"])
def test_a_lease_that_a_beat_did_not_confirm_ends_when_it_did(watch: Watch, failure: str) -> None:
    holding = watch.hold(lease=LEASE)
    holding.begin()
    if failure == "away":
        watch.engine.unreachable = ("here",)
    elif failure == "lost":
        watch.take_away(holding)
    else:
        watch.engine.run(steer.pause("here"))
    watch.clock.now += 10
    watch.keeper.beat()
    watch.clock.now += 5

    with pytest.raises(LeaseGone):
        holding.expose(lambda _: None)


def test_only_what_lies_in_stock_for_long_goes_elsewhere(watch: Watch) -> None:
    stocked, at_work = watch.hold(), watch.hold()
    running(at_work)
    watch.clock.now += 1
    fresh = watch.hold()

    watch.keeper.beat()
    early = list(watch.unstocked)
    watch.clock.now += 0.01
    watch.keeper.beat()

    assert early == []
    assert watch.unstocked == [stocked]
    assert fresh.stage is Stage.QUEUED


def test_without_leases_redis_is_left_in_peace(watch: Watch) -> None:
    watch.engine.unreachable = ("here", "there")

    with capture_logs() as lines:
        watch.keeper.beat()

    assert lines == []
