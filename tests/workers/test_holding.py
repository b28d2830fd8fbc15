"""The life of a leased job in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from dramatiq.middleware import TimeLimitExceeded

from tests.workers.hands import NOW, Seconds, begun, leased
from workers.holding import Holding, Holdings, JobCancelled, LeaseGone, Reason, Stage

Raised = list[Reason]


def at_once(*steps: Callable[[], bool]) -> list[bool]:
    """Every step by a thread of its own, all in the same moment."""
    results: list[bool] = []
    start = threading.Barrier(len(steps))

    def take(step: Callable[[], bool]) -> None:
        start.wait()
        results.append(step())

    threads = [threading.Thread(target=take, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return results


def test_a_job_waits_runs_and_is_over() -> None:
    holding = Holding(leased())
    stages = [holding.stage]
    holding.begin()
    stages.append(holding.stage)
    holding.end()

    assert [*stages, holding.stage] == [Stage.QUEUED, Stage.RUNNING, Stage.OVER]


def test_a_dropped_job_does_not_begin() -> None:
    holding = Holding(leased())

    assert holding.drop()
    assert not holding.begin()
    assert not holding.end()


def test_a_job_that_has_begun_is_not_dropped() -> None:
    holding = begun()

    assert not holding.drop()
    assert holding.end()
    assert not holding.drop()


def test_of_two_threads_one_begins_or_drops() -> None:
    for _ in range(300):
        holding = Holding(leased())

        assert sorted(at_once(holding.begin, holding.drop)) == [False, True]


def test_a_job_that_runs_can_be_given_up() -> None:
    """Then its end is not told any more: it was told already that it goes back."""
    holding = begun()

    assert holding.abandon()
    assert not holding.end()


def test_a_job_is_either_given_up_or_ended() -> None:
    for _ in range(300):
        holding = begun()

        assert sorted(at_once(holding.abandon, holding.end)) == [False, True]


def test_a_running_body_is_interrupted_once_for_each_reason() -> None:
    holding, raised = begun(), Raised()
    holding.expose(raised.append)

    for reason in (JobCancelled, JobCancelled, TimeLimitExceeded, JobCancelled):
        holding.interrupt(reason)

    assert raised == [JobCancelled, TimeLimitExceeded]
    assert holding.reason is TimeLimitExceeded


def test_an_interrupt_that_comes_before_the_body_waits_for_it() -> None:
    holding, raised = begun(), Raised()

    holding.interrupt(LeaseGone)
    holding.expose(raised.append)

    assert raised == [LeaseGone]


@pytest.mark.parametrize("end", [Holding.end, Holding.abandon])
def test_nobody_is_interrupted_after_the_end(end: Callable[[Holding], bool]) -> None:
    holding, raised = begun(), Raised()
    holding.expose(raised.append)
    end(holding)

    holding.interrupt(LeaseGone)

    assert raised == []


def test_a_job_that_has_not_started_is_not_interrupted() -> None:
    holding, raised = Holding(leased()), Raised()

    holding.interrupt(LeaseGone)
    holding.begin()
    holding.expose(raised.append)

    assert raised == []


def test_times_are_counted_from_the_reservation() -> None:
    clock = Seconds()
    holding = Holding(leased(), clock=clock)
    clock.now += 2
    holding.begin()
    clock.now += 3
    holding.end()
    clock.now += 5
    holding.end()

    assert holding.run.started_after == timedelta(seconds=2)
    assert holding.ran_for == timedelta(seconds=3)
    assert holding.now == NOW + timedelta(seconds=10)


def test_a_job_that_never_started_says_so() -> None:
    holding = Holding(leased())

    assert (holding.run.started_after, holding.ran_for) == (None, timedelta(0))


def test_a_job_is_overdue_while_it_runs_for_longer_than_it_may() -> None:
    clock = Seconds()
    holding = Holding(leased(timeout=timedelta(seconds=5)), clock=clock)
    clock.now += 60
    waiting = holding.overdue
    holding.begin()
    clock.now += 4.9
    early = holding.overdue
    clock.now += 0.1
    late = holding.overdue
    holding.end()

    assert (waiting, early, late, holding.overdue) == (False, False, True, False)


# The lease by this process's own clock


def test_a_job_whose_lease_is_over_does_not_begin() -> None:
    """The process was frozen or cut off: somebody else may have the job."""
    clock = Seconds()
    holding = Holding(leased(), good_until=clock.now + 15, clock=clock)
    clock.now += 15

    assert not holding.begin()
    assert holding.drop(), "it may be handed back all the same"


def test_an_extension_moves_the_end_of_the_lease_and_never_back() -> None:
    clock = Seconds()
    holding = Holding(leased(), good_until=clock.now + 15, clock=clock)
    holding.extend(good_until=clock.now + 20)
    holding.extend(good_until=clock.now + 16)
    clock.now += 19.9

    assert holding.begin()


def test_a_body_is_not_reached_when_the_lease_ended_on_the_way() -> None:
    clock, raised = Seconds(), Raised()
    holding = Holding(leased(), good_until=clock.now + 15, clock=clock)
    assert holding.begin()
    clock.now += 15

    with pytest.raises(LeaseGone):
        holding.expose(raised.append)

    assert holding.told_run.started_after is None


def test_a_job_that_runs_needs_no_guard() -> None:
    """Once its body was reached, an interrupt tells it of a lost lease."""
    clock, raised = Seconds(), Raised()
    holding = Holding(leased(), good_until=clock.now + 15, clock=clock)
    holding.begin()
    holding.expose(raised.append)
    clock.now += 60

    assert holding.end()
    assert raised == []


def test_a_start_is_not_told_before_the_body_was_reached() -> None:
    holding = begun()
    on_the_way = holding.told_run.started_after
    holding.expose(Raised().append)

    assert (on_the_way, holding.told_run) == (None, holding.run)


def test_the_same_id_in_two_queues_names_two_jobs() -> None:
    """Each queue counts its reservations for itself: even the tokens may be the same."""
    holdings = Holdings()
    one, other = Holding(leased("7", queue="email")), Holding(leased("7", queue="sync"))

    assert holdings.add(one) is None
    assert holdings.add(other) is None
    assert holdings.of_queues() == {"email": [one], "sync": [other]}


def test_a_job_that_comes_again_takes_the_place_of_its_earlier_holding() -> None:
    """Both in one `extend` would be told LEASE_LOST by the id that they share."""
    holdings = Holdings()
    earlier, newer = Holding(leased("7", number=1)), Holding(leased("7", number=2))
    holdings.add(earlier)

    assert holdings.add(newer) is earlier
    holdings.remove(earlier)

    assert list(holdings) == [newer]
