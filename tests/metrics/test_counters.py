"""Counters only rise: whatever becomes of the jobs, and whichever server is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from server.engine.admit import cancel
from server.engine.mend import remove, revive
from server.engine.overrides import Overrides
from server.engine.steer import pause, resume, update
from server.engine.sweep import Retention, Retentions, prune, reclaim
from tests.conftest import Clock
from tests.engine.hands import LEASE, QUEUE, TASK, Worker, completed, failed, put, retried, snoozed
from tests.metrics.conftest import Server
from tests.metrics.scrape import counters, scraped

NOTHING_KEPT = Retention(age=timedelta(0), count=0)


async def test_a_counter_never_falls(server: Server, worker: Worker, clock: Clock) -> None:
    told = counters(await scraped(server()))
    for step in steps(worker, clock):
        step()

        now = counters(await scraped(server()))

        assert {series: (value, now.get(series)) for series, value in told.items() if now.get(series, -1) < value} == {}
        told = now

    assert told["cabrank_jobs_enqueued_total", (QUEUE, TASK)] == 9
    assert told["cabrank_jobs_finished_total", (QUEUE, "failed", TASK)] == 3
    assert told["cabrank_attempts_total", ("lost", QUEUE, TASK)] == 1
    assert told["cabrank_jobs_retried_total", (QUEUE, TASK)] == 1
    assert told["cabrank_jobs_removed_total", (QUEUE,)] == 9


def steps(worker: Worker, clock: Clock) -> list[Callable[[], object]]:
    """The lives of nine jobs, to their ends."""
    engine = worker.engine
    names = [f"j{n}" for n in range(9)]
    nothing_kept = Retentions(completed=NOTHING_KEPT, failed=NOTHING_KEPT, cancelled=NOTHING_KEPT)

    def lose_one() -> None:
        worker.take_one()
        # The first sweep in a while lets the living extend their leases before it takes any away.
        for span in (LEASE, timedelta(seconds=4)):
            clock.advance(span)
            engine.run(reclaim(QUEUE))

    def forget() -> None:
        clock.advance(minutes=2)
        engine.run(prune(QUEUE, nothing_kept))

    return [
        lambda: put(engine, *names),
        lambda: engine.run(completed(worker.take_one())),
        lambda: engine.run(retried(worker.take_one())),
        lambda: engine.run(snoozed(worker.take_one())),
        lambda: engine.run(failed(*worker.take(3))),
        lose_one,
        lambda: engine.run(cancel(QUEUE, "j7")),
        lambda: engine.run(revive(QUEUE, ["j3"])),
        lambda: engine.run(remove(QUEUE, ["j4"])),
        lambda: engine.run(update(QUEUE, Overrides(concurrency=1))),
        lambda: engine.run(pause(QUEUE)),
        lambda: engine.run(resume(QUEUE)),
        forget,
        lambda: engine.run(remove(QUEUE, names)),
    ]
