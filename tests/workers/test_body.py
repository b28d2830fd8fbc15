"""An interrupt hits the body of a job: nothing before it, nothing after it, no other job."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from dramatiq.asyncio import set_event_loop_thread
from dramatiq.middleware import TimeLimitExceeded

from tests.workers.duty import shorter_turns, until
from tests.workers.hands import Seconds, begun, leased
from workers.body import in_thread, on_loop
from workers.holding import Holding, JobCancelled, LeaseGone, Reason, Stage
from workers.loop import LastingLoop

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


@pytest.fixture
def loop() -> Iterator[LastingLoop]:
    thread = LastingLoop(logging.getLogger("loop"))
    thread.start(timeout=10)
    set_event_loop_thread(thread)
    yield thread
    thread.stop()
    set_event_loop_thread(None)


def for_ever() -> None:
    """Until an interrupt comes: it arrives between two steps of Python."""
    ever = threading.Event()
    while True:
        ever.wait(0.001)


async def asleep() -> None:
    await asyncio.Event().wait()


def interrupted(holding: Holding, reason: Reason) -> threading.Thread:
    """Interrupts it as soon as its body runs."""

    def strike() -> None:
        until(lambda: holding._raise is not None)
        holding.interrupt(reason)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


Run = Callable[[Holding, Callable[[], Any]], object]


def test_a_body_returns_or_raises_what_it_likes(loop: LastingLoop) -> None:
    async def add() -> int:
        return 1 + 2

    async def fail() -> None:
        raise KeyError("k")

    assert in_thread(begun(), lambda: 3) == on_loop(begun(), add) == 3
    with pytest.raises(ZeroDivisionError):
        in_thread(begun(), lambda: 1 // 0)
    with pytest.raises(KeyError):
        on_loop(begun(), fail)


@pytest.mark.parametrize(("run", "body"), [(in_thread, for_ever), (on_loop, asleep)], ids=["thread", "loop"])
@pytest.mark.parametrize("reason", [JobCancelled, LeaseGone, TimeLimitExceeded])
def test_a_body_is_interrupted(loop: LastingLoop, run: Run, body: Callable[[], Any], reason: Reason) -> None:
    holding = begun()
    strike = interrupted(holding, reason)

    with pytest.raises(reason):
        run(holding, body)
    strike.join(10)

    assert holding.stage is Stage.OVER


@pytest.mark.parametrize(("run", "body"), [(in_thread, for_ever), (on_loop, asleep)], ids=["thread", "loop"])
def test_an_interrupt_that_was_due_before_hits_the_body_at_once(
    loop: LastingLoop, run: Run, body: Callable[[], Any]
) -> None:
    holding = begun()
    holding.interrupt(LeaseGone)

    with pytest.raises(LeaseGone):
        run(holding, body)


@pytest.mark.parametrize("run", [in_thread, on_loop], ids=["thread", "loop"])
def test_a_body_does_not_run_when_the_lease_ended_before_it(loop: LastingLoop, run: Run) -> None:
    clock, ran = Seconds(), list[bool]()
    holding = Holding(leased(), good_until=clock.now + 15, clock=clock)
    holding.begin()
    clock.now += 15

    with pytest.raises(LeaseGone):
        run(holding, lambda: ran.append(True))

    assert ran == []
    assert holding.stage is Stage.OVER


def test_a_coroutine_that_a_busy_loop_has_not_come_to_is_not_told_as_started(loop: LastingLoop) -> None:
    holding, busy, let_go = begun(), threading.Event(), threading.Event()
    told: list[timedelta | None] = []

    async def body() -> None:
        told.append(holding.told_run.started_after)

    def keep_busy() -> None:
        busy.set()
        let_go.wait(20)

    loop.loop.call_soon_threadsafe(keep_busy)
    assert busy.wait(20)
    thread = threading.Thread(target=on_loop, args=(holding, body))
    thread.start()
    # It is made by now or never: the loop comes to it after what keeps it busy, and to its first step after that.
    loop.loop.call_soon_threadsafe(lambda: told.append(holding.told_run.started_after))
    let_go.set()
    thread.join(20)

    assert told == [None, timedelta(0)]


def test_an_interrupt_after_the_body_hits_nobody() -> None:
    holding = begun()
    in_thread(holding, lambda: None)

    holding.interrupt(LeaseGone)

    assert holding.reason is None


def test_a_coroutine_that_is_interrupted_tidies_up_before_its_job_is_over(loop: LastingLoop) -> None:
    tidied: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append("all")

    holding = begun()
    strike = interrupted(holding, JobCancelled)
    with pytest.raises(JobCancelled):
        on_loop(holding, careful)
    strike.join(10)

    assert tidied == ["all"]


def test_a_coroutine_may_refuse_to_be_interrupted(loop: LastingLoop) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    holding = begun()
    strike = interrupted(holding, JobCancelled)

    assert on_loop(holding, stubborn) == "done all the same"
    strike.join(10)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_coroutine_that_asks_to_exit_ends_alone(loop: LastingLoop, error: type[BaseException]) -> None:
    """Dramatiq's own event loop would end with it, and every other job on it would hang for ever."""
    going_on = threading.Event()

    async def leave() -> None:
        going_on.wait(10)
        raise error

    async def stay() -> str:
        going_on.set()
        await asyncio.sleep(0.01)
        return "here"

    stayed: list[object] = []
    staying = threading.Thread(target=lambda: stayed.append(on_loop(begun(), stay)))
    staying.start()
    assert going_on.wait(10)
    with pytest.raises(error):
        on_loop(begun(), leave)
    staying.join(10)

    assert stayed == ["here"]
    assert on_loop(begun(), stay) == "here"


def test_a_coroutine_cannot_stop_the_loop_of_all(loop: LastingLoop) -> None:
    async def stop_it() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        return "still here"

    assert on_loop(begun(), stop_it) == "still here"


def test_a_coroutine_that_was_cancelled_by_somebody_else_says_so(loop: LastingLoop) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        on_loop(begun(), give_up)


def test_a_coroutine_runs_in_the_context_of_its_job(loop: LastingLoop) -> None:
    """Dramatiq's current message and the fields of log lines are kept there."""

    async def look() -> str:
        return where.get()

    where.set("here")

    assert on_loop(begun(), look) == "here"


def test_what_is_no_coroutine_after_all_is_a_failure(loop: LastingLoop) -> None:
    nothing: Any = lambda: None  # noqa: E731

    with pytest.raises(TypeError):
        on_loop(begun(), nothing)


def test_a_loop_that_ends_lets_coroutines_tidy_up_though_not_for_long(loop: LastingLoop) -> None:
    tidied = threading.Event()
    inside = threading.Semaphore(0)

    async def careful() -> None:
        inside.release()
        try:
            await asyncio.Event().wait()
        finally:
            tidied.set()

    async def stubborn() -> None:
        inside.release()
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    for body in (careful, stubborn):
        asyncio.run_coroutine_threadsafe(body(), loop.loop)
        assert inside.acquire(timeout=10)

    loop.stop()
    loop.stop()

    assert tidied.is_set()
    assert loop.loop.is_closed()


def test_without_an_event_loop_no_coroutine_runs() -> None:
    with pytest.raises(RuntimeError, match="no event loop"):
        on_loop(begun(), asleep)


class HitAtTheEnd(Holding):
    """Is interrupted in the moment in which its thread comes to tell that the body is through."""

    def end(self) -> bool:
        self.interrupt(JobCancelled)
        return super().end()


def test_an_interrupt_at_the_very_end_leaves_nothing_open() -> None:
    holding = HitAtTheEnd(leased())
    holding.begin()

    with pytest.raises(JobCancelled):
        in_thread(holding, lambda: None)

    assert holding.stage is Stage.OVER


def test_interrupts_at_any_moment_leave_the_thread_alone() -> None:
    """About a third of the bodies are hit, many of them in their last step. What is raised is raised by `in_thread`."""
    jobs = [begun() for _ in range(3000)]
    newest, done = [jobs[0]], threading.Event()
    ends = {"whole": 0, "interrupted": 0}

    def strike() -> None:
        while not done.is_set():
            holding = newest[0]
            time.sleep(random.random() * 20e-6)
            for reason in (JobCancelled, LeaseGone, TimeLimitExceeded):
                holding.interrupt(reason)

    def body() -> None:
        for _ in range(random.randrange(3)):
            time.sleep(random.random() * 20e-6)

    def work() -> None:
        for holding in jobs:
            newest[0] = holding
            try:
                in_thread(holding, body)
                ends["whole"] += 1
            except (JobCancelled, LeaseGone, TimeLimitExceeded):
                ends["interrupted"] += 1

    striker, worker = threading.Thread(target=strike), threading.Thread(target=work)
    with shorter_turns():
        striker.start()
        worker.start()
        worker.join(60)
    done.set()
    striker.join(10)

    assert sum(ends.values()) == len(jobs)
    assert ends["interrupted"] > 100
    assert all(holding.stage is Stage.OVER for holding in jobs)
