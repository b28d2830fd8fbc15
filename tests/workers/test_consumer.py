"""Whatever becomes of a job, its place in the process is given back exactly once and its lease is looked after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.catalog import JobContext, PermanentFailure, handler
from server.engine import steer, work
from server.engine.errors import BackendUnavailable
from server.engine.job import FailureReason, JobState
from server.engine.overrides import Overrides
from server.engine.work import RateLimit
from tests.conftest import raw_client
from tests.workers.conftest import OnDuty
from tests.workers.desk import THREADS, Desk
from tests.workers.duty import QUEUE, Probe, new_job, probe
from workers.holding import LeaseGone

LOOK, STRANGE = probe(), probe("probe.strange")
COMPLETED, FAILED, WAITING, ACTIVE = JobState.COMPLETED, JobState.FAILED, JobState.WAITING, JobState.ACTIVE


@handler(LOOK)
def look(_: Probe, _job: JobContext) -> None: ...


@pytest.fixture
def desk(off_duty: OnDuty) -> Iterator[Desk]:
    with Desk(off_duty(look)) as desk:
        yield desk


def fail_with(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_it_holds_as_many_jobs_as_there_are_threads(desk: Desk) -> None:
    desk.duty.enqueue_all([new_job(LOOK) for _ in range(10)])

    messages = [desk.take() for _ in range(THREADS)]

    assert next(desk.consumer) is None
    assert len({message.message_id for message in messages}) == THREADS
    assert desk.duty.counts() == {ACTIVE: THREADS, WAITING: 10 - THREADS}


def test_a_message_tells_of_its_job_and_not_of_what_is_in_it(desk: Desk) -> None:
    job_id = desk.duty.enqueue(LOOK, Probe(text="secret"))

    message = desk.take()

    assert str(message) == f"probe.look[{job_id}]"
    assert "secret" not in repr(message)
    assert (message.queue_name, message.actor_name, message.message_id) == (QUEUE, LOOK.name, job_id)


@pytest.mark.parametrize("error", [None, ValueError("boom"), PermanentFailure("no")])
def test_a_place_is_free_again_when_its_job_is_over(desk: Desk, error: Exception | None) -> None:
    desk.duty.enqueue(LOOK)

    desk.run(desk.take(), error)

    assert desk.shift.capacity.taken == 0
    desk.settled()
    assert len(desk.shift.holdings) == 0


def test_a_second_ack_changes_nothing(desk: Desk) -> None:
    desk.duty.enqueue(LOOK)
    message = desk.take()

    desk.run(message)
    desk.consumer.ack(message)
    desk.consumer.nack(message)

    desk.settled()
    assert desk.shift.capacity.taken == 0
    assert desk.duty.counts() == {COMPLETED: 1}


def test_a_message_may_be_acknowledged_by_a_later_consumer(desk: Desk) -> None:
    """Dramatiq replaces a consumer that failed; what it handed out before is acknowledged with the new one."""
    desk.duty.enqueue(LOOK)
    message = desk.take()

    desk.consumer = desk.duty.broker.consume(QUEUE)
    desk.run(message)

    desk.settled()
    assert (desk.duty.counts(), desk.shift.capacity.taken) == ({COMPLETED: 1}, 0)


def test_what_is_requeued_goes_back_and_frees_its_place(desk: Desk) -> None:
    desk.duty.enqueue_all([new_job(LOOK) for _ in range(2)])
    messages = [desk.take(), desk.take()]

    desk.consumer.requeue(message for message in messages)
    for message in messages:
        desk.consumer.requeue([message])

    desk.settled()
    assert (desk.duty.counts(), desk.shift.capacity.taken) == ({WAITING: 2}, 0)


def test_what_is_skipped_frees_its_place(desk: Desk) -> None:
    """A job that was handed back, but whose message a thread finds afterwards."""
    desk.duty.enqueue(LOOK)
    message = desk.take()
    desk.shift.hand_back(message.holding)

    assert not message.holding.begin()
    desk.consumer.ack(message)

    desk.settled()
    assert (desk.duty.counts(), desk.shift.capacity.taken) == ({WAITING: 1}, 0)


def test_a_consumer_that_is_closed_hands_back_what_it_has_not_handed_out(desk: Desk) -> None:
    desk.duty.enqueue_all([new_job(LOOK) for _ in range(3)])
    message = desk.take()

    desk.consumer.close()
    desk.consumer.close()

    desk.settled()
    assert desk.duty.counts() == {ACTIVE: 1, WAITING: 2}
    assert desk.shift.capacity.taken == 1
    desk.run(message)
    assert desk.shift.capacity.taken == 0


def test_a_drain_in_the_middle_of_a_reservation_hands_back_what_it_brings(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.duty.enqueue_all([new_job(LOOK) for _ in range(3)])
    reserve = desk.consumer._reserve

    def interrupted(places: int) -> Any:
        reservation = reserve(places)
        desk.shift.drain()
        return reservation

    monkeypatch.setattr(desk.consumer, "_reserve", interrupted)

    assert next(desk.consumer) is None
    desk.settled()
    assert (desk.duty.counts(), desk.shift.capacity.taken) == ({WAITING: 3}, 0)


def test_drains_and_reservations_at_the_same_moment_leave_nothing_behind(desk: Desk) -> None:
    desk.duty.enqueue_all([new_job(LOOK) for _ in range(200)])
    for _ in range(20):
        desk.shift.draining.clear()
        drain = threading.Thread(target=desk.shift.drain)
        drain.start()
        while (message := next(desk.consumer)) is not None:
            desk.consumer.requeue([message])
        drain.join(10)
        desk.consumer.close()

    desk.settled()
    assert (desk.duty.counts(), desk.shift.capacity.taken) == ({WAITING: 200}, 0)


def test_a_stranger_takes_no_place(desk: Desk) -> None:
    desk.duty.enqueue_all([new_job(STRANGE) for _ in range(3)])

    assert next(desk.consumer) is None
    desk.settled()

    assert (desk.shift.capacity.taken, len(desk.shift.holdings)) == (0, 0)


def test_a_payload_that_nobody_can_read_fails_its_job_alone(desk: Desk) -> None:
    def plain() -> None: ...

    desk.duty.plain_actor(plain)
    broken = probe("plain")
    jobs = desk.duty.enqueue_all([new_job(broken, b"[1, 2]"), new_job(LOOK), new_job(broken, b"{")])

    desk.run(desk.take())
    desk.settled()

    failed = [desk.duty.job(job_id) for job_id in (jobs[0], jobs[2])]
    assert desk.duty.state(jobs[1]) is COMPLETED
    assert {job.failure.reason for job in failed if job.failure} == {FailureReason.PERMANENT}
    assert all("the payload is no call of plain" in job.failure.message for job in failed if job.failure)
    assert desk.shift.capacity.taken == 0


def test_a_bug_while_a_message_is_made_costs_the_job_an_attempt_and_nothing_else(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.consumer, "_carry", fail_with(KeyError("a bug")))
    job_id = desk.duty.enqueue(LOOK, max_attempts=1)

    assert next(desk.consumer) is None

    desk.settled()
    assert (desk.duty.state(job_id), desk.shift.capacity.taken) == (FAILED, 0)


@pytest.mark.parametrize("error", [BackendUnavailable(), RuntimeError("a bug")])
def test_a_reservation_that_fails_keeps_no_place(desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.consumer, "_reserve", fail_with(error))

    with suppress(RuntimeError):  # at which Dramatiq replaces the consumer
        assert next(desk.consumer) is None

    assert desk.free == THREADS


def test_a_reservation_whose_answer_was_lost_is_asked_for_again(desk: Desk) -> None:
    """Under the same number: the jobs that were handed out are not left until their leases run out."""
    jobs = desk.duty.enqueue_all([new_job(LOOK) for _ in range(2)])
    desk.duty.engine.run(
        work.reserve(QUEUE, worker=desk.shift.worker, number=1, want=2, lease=timedelta(seconds=15), concurrency=9)
    )

    found = {desk.take().message_id, desk.take().message_id}

    assert found == set(jobs)


def test_an_answer_that_is_had_late_may_hold_more_jobs_than_were_asked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places are asked for, the answer is lost, and then one place to see whether Redis is back."""
    jobs = desk.duty.enqueue_all([new_job(LOOK) for _ in range(THREADS)])
    reserve = desk.consumer._reserve

    def lost(places: int) -> Any:
        reserve(places)
        desk.shift.reservations[QUEUE] -= 1
        raise BackendUnavailable

    with monkeypatch.context() as outage:
        outage.setattr(desk.consumer, "_reserve", lost)
        assert next(desk.consumer) is None
    desk.consumer._away = True

    messages = [desk.take() for _ in jobs]

    assert desk.shift.capacity.taken == THREADS
    for message in messages:
        desk.run(message)
    assert desk.shift.capacity.taken == 0


def test_no_place_is_kept_while_redis_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.consumer, "_reserve", fail_with(BackendUnavailable()))
    meanwhile: list[int] = []
    monkeypatch.setattr(desk.shift.draining, "wait", lambda _: meanwhile.append(desk.shift.capacity.taken))

    next(desk.consumer)

    assert meanwhile == [0]


def test_a_consumer_without_redis_leaves_the_places_to_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each queue may be on a node of its own: one place is enough to see whether this one's is back."""
    asked: list[int] = []
    take = desk.shift.capacity.take

    def note(most: int, *, seconds: float) -> int:
        asked.append(most)
        return take(most, seconds=seconds)

    monkeypatch.setattr(desk.shift.capacity, "take", note)
    with monkeypatch.context() as outage:
        outage.setattr(desk.consumer, "_reserve", fail_with(BackendUnavailable()))
        next(desk.consumer)
    next(desk.consumer)
    next(desk.consumer)

    assert asked == [work.RESERVE_LIMIT, 1, work.RESERVE_LIMIT]


def test_a_lease_whose_answer_was_lost_is_counted_from_when_it_was_first_asked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs may have been leased since then."""
    desk.duty.enqueue(LOOK)
    run = desk.shift.engine.run

    def lost(call: Any) -> Any:
        answer = run(call)
        if call.script.name == "reserve":
            raise BackendUnavailable
        return answer

    with monkeypatch.context() as outage:
        outage.setattr(desk.shift.engine, "run", lost)
        assert next(desk.consumer) is None
    between = time.monotonic()

    holding = desk.take().holding

    assert holding._good_until < between + desk.shift.lease.total_seconds()
    desk.duty.enqueue(LOOK)
    assert desk.take().holding._good_until > between + desk.shift.lease.total_seconds()


def test_a_job_that_comes_again_supersedes_what_is_left_of_its_first_stay(desk: Desk) -> None:
    """Its lease ran out while it lay here: the message of the first stay must not start it any more."""
    job_id = desk.duty.enqueue(LOOK)
    stale = desk.take()
    desk.lose(job_id)

    fresh = desk.take()

    assert fresh.message_id == stale.message_id
    assert not stale.holding.begin()
    desk.consumer.ack(stale)
    desk.run(fresh)
    desk.settled()
    assert (desk.duty.state(job_id), desk.shift.capacity.taken) == (COMPLETED, 0)


def test_the_loss_of_a_lease_is_logged_as_such(desk: Desk) -> None:
    desk.duty.enqueue(LOOK)
    message = desk.take()

    with capture_logs() as lines:
        desk.run(message, LeaseGone())

    assert [line["event"] for line in lines] == ["probe job lost: its lease ran out while it was running"]
    assert len(desk.shift.holdings) == 0


@pytest.mark.parametrize("damage", [b"nonsense", b"%s nonsense\n\x00{}"], ids=["all of it", "what Python reads of it"])
def test_a_record_that_was_written_over_does_not_hold_up_the_queue(desk: Desk, damage: bytes) -> None:
    """It is the first in the line, and would be so for ever: its job fails, and the next one is handed out."""
    broken, whole = desk.duty.enqueue(LOOK), desk.duty.enqueue(LOOK)
    with raw_client(desk.duty.server) as raw:
        records = f"cabrank:{{{QUEUE}}}:jobs"
        head, _, _ = bytes(raw.hget(records, broken) or b"").partition(b"\n")
        raw.hset(records, broken, damage.replace(b"%s nonsense", head))

    message = desk.take()

    assert message.message_id == whole
    assert desk.duty.counts() == {ACTIVE: 1, FAILED: 1}


def test_an_outage_is_logged_once_with_its_cause(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    error = BackendUnavailable()
    error.__cause__ = ConnectionRefusedError("nobody listens")
    monkeypatch.setattr(desk.consumer, "_reserve", fail_with(error))

    with capture_logs() as lines:
        for _ in range(3):
            next(desk.consumer)

    assert [(line["event"], line["reason"], line["cause"]) for line in lines if line["log_level"] == "warning"] == [
        ("no jobs to be had", str(error), "ConnectionRefusedError: nobody listens")
    ]


# What operators set


def test_a_paused_queue_hands_out_nothing_and_says_so_once(desk: Desk) -> None:
    desk.duty.enqueue(LOOK)
    desk.duty.engine.run(steer.pause(QUEUE))

    with capture_logs() as lines:
        assert [next(desk.consumer), next(desk.consumer)] == [None, None]
        desk.duty.engine.run(steer.resume(QUEUE))
        desk.take()

    assert [line["event"] for line in lines if line["log_level"] == "info"] == ["queue paused", "queue resumed"]


def test_a_pause_that_ends_by_itself_is_not_slept_through(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(desk.shift.engine, "wait_for_work", lambda _, *, seconds: slept.append(seconds))
    consumer = desk.duty.broker.consume(QUEUE, timeout=1000)
    desk.duty.engine.run(steer.pause(QUEUE, until=datetime.now(UTC) + timedelta(seconds=0.5)))

    next(consumer)

    assert len(slept) == 1
    assert 0 < slept[0] <= 0.5


def test_a_limit_that_operators_set_holds_over_the_one_of_this_process(off_duty: OnDuty) -> None:
    with Desk(off_duty(look, queues={"PROBE_QUEUE_CONCURRENCY": "1"})) as desk:
        desk.duty.enqueue_all([new_job(LOOK) for _ in range(THREADS + 1)])
        messages = [desk.take()]
        assert next(desk.consumer) is None

        desk.duty.engine.run(steer.update(QUEUE, Overrides(concurrency=3)))
        messages += [desk.take(), desk.take()]
        assert next(desk.consumer) is None
        for message in messages:
            desk.run(message)
        desk.settled()
        desk.duty.engine.run(steer.update(QUEUE, Overrides(), reset=["concurrency"]))
        desk.take()

        assert next(desk.consumer) is None


def test_a_rate_limit_that_operators_set_holds_over_the_one_of_this_process(off_duty: OnDuty) -> None:
    with Desk(off_duty(look, queues={"PROBE_QUEUE_RATE_LIMIT": "1/3600s"})) as desk:
        desk.duty.enqueue_all([new_job(LOOK) for _ in range(THREADS)])
        desk.take()
        assert next(desk.consumer) is None

        desk.duty.engine.run(steer.update(QUEUE, Overrides(rate_limit=RateLimit(count=2, period=timedelta(hours=1)))))
        desk.take()
        assert next(desk.consumer) is None
        desk.duty.engine.run(steer.update(QUEUE, Overrides(unlimited_rate=True)))

        desk.take()
