"""The start of a process, and the start of a job that a worker may have died of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware, SkipMessage
from structlog.testing import capture_logs

from server.catalog import Catalog, JobContext, handler
from server.engine import admit, steer
from server.engine.engine import Engine
from server.engine.errors import BackendUnavailable, InvalidValue
from server.engine.job import AttemptOutcome, FailureReason, JobState
from tests.workers.conftest import OnDuty
from tests.workers.desk import Desk
from tests.workers.duty import QUEUE, Probe, new_job, probe, settings
from workers.broker import Broker
from workers.holding import LeaseGone
from workers.message import JobProxy

LOOK = probe()
COMPLETED, WAITING, FAILED, CANCELLED = JobState.COMPLETED, JobState.WAITING, JobState.FAILED, JobState.CANCELLED
ACTIVE = JobState.ACTIVE
NOTHING = Catalog(tasks={}, handlers={}, queues=())


@handler(LOOK)
def look(_: Probe, _job: JobContext) -> None: ...


@pytest.fixture
def desk(off_duty: OnDuty) -> Iterator[Desk]:
    with Desk(off_duty(look)) as desk:
        yield desk


def suspect(desk: Desk) -> str:
    """A job whose lease was lost before."""
    job_id = desk.duty.enqueue(LOOK)
    desk.reserve_elsewhere()
    desk.lose(job_id)
    return job_id


# A start that must be marked


def test_a_suspect_runs_like_any_other_job(desk: Desk) -> None:
    job_id = suspect(desk)

    desk.run(desk.take())

    desk.settled()
    job = desk.duty.job(job_id)
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.LOST, AttemptOutcome.COMPLETED]


def test_a_job_that_loses_every_worker_is_poison_and_its_neighbours_are_innocent(desk: Desk) -> None:
    poison, *innocent = desk.duty.enqueue_all([new_job(LOOK) for _ in range(3)])
    # The worker that had reserved all three was lost: which of them it died of is not known yet.
    for message in [desk.take() for _ in range(3)]:
        lose(desk, message)

    starts = 0
    while desk.duty.state(poison) is not FAILED:
        message = desk.take()
        assert message.message_id == poison, "alone, and at the place it had"
        desk.lifecycle.before_process_message(desk.duty.broker, message)
        starts += 1
        lose(desk, message)
    for _ in innocent:
        desk.run(desk.take())

    desk.settled()
    job = desk.duty.job(poison)
    assert job.failure is not None
    assert (job.failure.reason, starts) == (FailureReason.POISON, 2)
    assert {desk.duty.state(job_id) for job_id in innocent} == {COMPLETED}


def lose(desk: Desk, message: JobProxy) -> None:
    desk.lose(message.message_id)
    message.stuff_exception(LeaseGone())
    desk.consumer.ack(message)


def refuse_to_extend(monkeypatch: pytest.MonkeyPatch, engine: Engine, error: Exception) -> None:
    run: Callable[..., Any] = engine.run

    def partly(call: Any) -> Any:
        if call.script.name == "extend":
            raise error
        return run(call)

    monkeypatch.setattr(engine, "run", partly)


@pytest.mark.parametrize("error", [BackendUnavailable(), KeyError("a bug")])
def test_a_suspect_whose_start_cannot_be_marked_goes_back(
    desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = suspect(desk)
    message = desk.take()
    refuse_to_extend(monkeypatch, desk.shift.engine, error)

    with pytest.raises(SkipMessage):
        desk.run(message)
    desk.consumer.ack(message)

    desk.settled()
    job = desk.duty.job(job_id)
    assert (job.state, job.spent.lost, desk.shift.capacity.taken) == (WAITING, 1, 0)


def test_a_suspect_that_was_lost_again_meanwhile_does_not_start(desk: Desk) -> None:
    job_id = suspect(desk)
    message = desk.take()
    desk.lose(job_id)

    with pytest.raises(SkipMessage):
        desk.run(message)
    desk.consumer.ack(message)

    desk.settled()
    assert (desk.duty.state(job_id), desk.shift.capacity.taken, len(desk.shift.holdings)) == (WAITING, 0, 0)


def test_a_suspect_that_was_cancelled_meanwhile_does_not_start(desk: Desk) -> None:
    job_id = suspect(desk)
    message = desk.take()
    desk.duty.engine.run(admit.cancel(QUEUE, job_id))

    with pytest.raises(SkipMessage):
        desk.run(message)
    desk.consumer.ack(message)

    desk.settled()
    job = desk.duty.job(job_id)
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.LOST]
    assert (job.state, desk.shift.capacity.taken) == (CANCELLED, 0)


def test_a_suspect_whose_queue_was_paused_meanwhile_goes_back(desk: Desk) -> None:
    job_id = suspect(desk)
    message = desk.take()
    desk.duty.engine.run(steer.pause(QUEUE))

    with pytest.raises(SkipMessage):
        desk.run(message)
    desk.consumer.ack(message)

    desk.settled()
    job = desk.duty.job(job_id)
    assert (job.state, job.spent.lost, desk.shift.capacity.taken) == (WAITING, 1, 0)
    assert desk.duty.engine.run(steer.unstarted(QUEUE)) == 0


# A process that was frozen


@pytest.mark.parametrize("lost", [False, True], ids=["still leased", "lost"])
def test_a_job_whose_lease_ended_before_it_began_goes_back(desk: Desk, lost: bool) -> None:
    """It was not the worker that noticed first, nor Redis perhaps: what the job becomes is Redis's to say."""
    job_id = desk.duty.enqueue(LOOK)
    message = desk.take()
    message.holding._good_until = 0.0
    if lost:
        desk.lose(job_id)
        desk.reserve_elsewhere()

    with pytest.raises(SkipMessage):
        desk.run(message)
    desk.consumer.ack(message)

    desk.settled()
    assert desk.duty.state(job_id) is (ACTIVE if lost else WAITING)
    assert (desk.shift.capacity.taken, len(desk.shift.holdings)) == (0, 0)


# Middleware of others


class Skips(Middleware):
    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:  # noqa: ARG002
        raise SkipMessage("not today")


class Breaks(Middleware):
    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:  # noqa: ARG002
        raise RuntimeError("a bug")


@pytest.mark.parametrize("middleware", [Skips(), Breaks()])
def test_a_message_that_other_middleware_skips_is_done_with(off_duty: OnDuty, middleware: Middleware) -> None:
    """As with Dramatiq's own brokers. What it breaks is logged by Dramatiq."""
    duty = off_duty(look)
    duty.broker.add_middleware(middleware)
    duty.start()

    assert duty.when(duty.enqueue(LOOK)).state is COMPLETED
    duty.settled()


# The process


def test_without_redis_the_process_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    broker = Broker(settings(None), NOTHING)

    with pytest.raises(SystemExit) as end:
        broker.emit_after("process_boot")

    assert end.value.code == 2
    assert capsys.readouterr().err == "cabrank: workers need a Redis: set REDIS_URL or REDIS_HOST\n"


def test_a_redis_url_that_is_none_is_refused_at_once() -> None:
    """And not when a worker boots, where Dramatiq would log the refusal and go on without a broker."""
    with pytest.raises(InvalidValue, match="REDIS_URL"):
        Broker(settings("redis://127.0.0.1:99999"), NOTHING)


def test_a_broker_touches_no_redis_before_a_worker_boots() -> None:
    broker = Broker(settings("redis://127.0.0.1:1"), NOTHING)

    broker.declare_queue(QUEUE)
    broker.close()

    assert broker.get_declared_queues() == {QUEUE}
    assert broker.get_declared_delay_queues() == set()


def test_only_the_queues_that_are_worked_for_are_announced(off_duty: OnDuty) -> None:
    duty = off_duty(look, queues={"PROBE_QUEUE_CONCURRENCY": "7"})
    duty.broker.declare_queue("other")
    worker = dramatiq.Worker(duty.broker, queues={QUEUE}, worker_threads=1, worker_timeout=50)

    with capture_logs() as lines:
        worker.start()
    worker.stop()

    assert [line["event"] for line in lines][:2] == ["worker created: probe (concurrency: 7)", "worker process on duty"]
