"""What the page tells of queues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.admin.health import IssueKind, Overview, issues_of
from server.admin.rules import Rules
from server.catalog import Catalog
from server.catalog.catalog import BUILT_IN_QUEUES
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, JobState
from server.engine.look import STATES, Stats
from server.engine.mend import remove, revive
from server.engine.overrides import Overrides
from server.engine.steer import pause, update
from server.engine.totals import BOUNDS, Totals
from server.engine.work import attend
from server.metrics import Metrics
from server.metrics.family import MOST_STRANGERS, Queue
from server.metrics.queues import SERIES
from server.settings import Settings
from tests.conftest import Clock
from tests.engine.hands import LEASE, QUEUE, RAN_FOR, TASK, Worker, completed, failed, new_job, put, retried
from tests.metrics.conftest import Server
from tests.metrics.scrape import of_queues, scraped

TASKS = [task.name for task in Catalog.load().tasks.values() if task.queue == QUEUE]


async def test_every_queue_has_every_state(metrics: Metrics, worker: Worker) -> None:
    """Zero included: a rule on a series that is absent never fires."""
    put(worker.engine, "a", "b", "c")
    worker.engine.run(completed(worker.take_one()))
    worker.take_one()

    jobs = (await scraped(metrics))["cabrank_jobs"]

    assert jobs.keys() == {(queue, state) for queue in BUILT_IN_QUEUES for state in JobState}
    assert {labels: count for labels, count in jobs.items() if count} == {
        (QUEUE, "waiting"): 1,
        (QUEUE, "active"): 1,
        (QUEUE, "completed"): 1,
    }


async def test_a_paused_queue_says_so(metrics: Metrics, engine: Engine) -> None:
    engine.run(pause(QUEUE))

    paused = (await scraped(metrics))["cabrank_queue_paused"]

    assert {queue for (queue,), value in paused.items() if value} == {QUEUE}


async def test_ages_are_told_in_seconds(metrics: Metrics, worker: Worker, clock: Clock) -> None:
    put(worker.engine, "a")
    clock.advance(seconds=5)
    put(worker.engine, "b")
    worker.take_one()
    clock.advance(seconds=2.5)

    found = await scraped(metrics)

    assert found["cabrank_queue_oldest_active_seconds"][QUEUE,] == 2.5
    assert found["cabrank_queue_oldest_waiting_seconds"][QUEUE,] == 2.5
    assert found["cabrank_queue_oldest_active_seconds"]["sync",] == 0
    assert found["cabrank_queue_oldest_waiting_seconds"]["sync",] == 0


async def test_a_job_without_a_live_lease_is_stalled(server: Server, worker: Worker, clock: Clock) -> None:
    put(worker.engine, "a")
    worker.take_one()
    before = await scraped(server())
    clock.advance(LEASE)

    after = await scraped(server())

    assert before["cabrank_queue_stalled_jobs"][QUEUE,] == 0
    assert after["cabrank_queue_stalled_jobs"][QUEUE,] == 1


async def test_workers_are_those_heard_of_lately(server: Server, engine: Engine, clock: Clock) -> None:
    for name in ("w1", "w2"):
        engine.run(attend(QUEUE, name, tasks=TASKS, threads=4, started_at=clock()))
    before = await scraped(server())
    clock.advance(seconds=16)

    after = await scraped(server())

    assert before["cabrank_workers"][QUEUE,] == 2
    assert after["cabrank_workers"][QUEUE,] == 0


async def test_limits_are_those_that_hold_now(server: Server, engine: Engine) -> None:
    """What an operator set, else what the environment says: so rules of alerts need no figures of their own."""
    names = (
        "cabrank_queue_concurrency_limit",
        "cabrank_queue_healthy_failed_jobs",
        "cabrank_queue_healthy_waiting_jobs",
        "cabrank_queue_healthy_stalled_jobs",
        "cabrank_queue_needs_workers",
    )
    before = await scraped(server())
    overrides = Overrides(concurrency=7, healthy_failed=0, healthy_waiting=5000, healthy_stalled=2, needs_workers=False)
    engine.run(update(QUEUE, overrides))

    after = await scraped(server())

    assert [before[name][QUEUE,] for name in names] == [5, 10, 100, 0, 1]
    assert [after[name][QUEUE,] for name in names] == [7, 0, 5000, 2, 0]


@given(
    needs_workers=st.booleans(),
    has_tasks=st.booleans(),
    state=st.sampled_from([None, *JobState]),
)
def test_a_queue_needs_workers_exactly_when_health_asks_for_them(
    needs_workers: bool, has_tasks: bool, state: JobState | None
) -> None:
    """Or an alert would fire on what GetHealth calls healthy."""
    stats = Stats(
        at=datetime(2030, 1, 1, tzinfo=UTC),
        jobs={each: int(each is state) for each in STATES},
        stalled=0,
        oldest_waiting=None,
        oldest_active=None,
        workers=0,
        pause=None,
        overrides=Overrides(needs_workers=needs_workers),
        totals=Totals(),
    )
    rules = Rules.of(Settings().queue("sync"), stats.overrides)
    overview = Overview(name="sync", stats=stats, rules=rules, has_tasks=has_tasks)
    (series,) = (series for series in SERIES if series.name == "cabrank_queue_needs_workers")

    told = series.of(Queue.of(overview, []))[()]

    assert bool(told) is (IssueKind.WORKERS in {issue.kind for issue in issues_of(overview)})


async def test_tasks_of_the_catalog_are_counted_from_zero(metrics: Metrics) -> None:
    """`rate` takes no notice of the increase by which a series appears."""
    found = await scraped(metrics)

    assert found["cabrank_jobs_enqueued_total"] == {(QUEUE, task): 0 for task in TASKS}
    assert found["cabrank_jobs_retried_total"] == {(QUEUE, task): 0 for task in TASKS}
    assert found["cabrank_jobs_finished_total"] == {
        (QUEUE, state, task): 0 for task in TASKS for state in JobState if state.terminal
    }
    assert found["cabrank_attempts_total"] == {
        (outcome, QUEUE, task): 0 for task in TASKS for outcome in AttemptOutcome
    }
    assert found["cabrank_job_wait_seconds_count"] == {(QUEUE, task): 0 for task in TASKS}
    assert found["cabrank_jobs_removed_total"] == {(queue,): 0 for queue in BUILT_IN_QUEUES}


async def test_what_happened_is_counted_by_task(metrics: Metrics, worker: Worker, clock: Clock) -> None:
    put(worker.engine, "a", "b", "c", "d", new_job("other", task="email.password_reset"))
    first, second, third, fourth, _ = worker.take()
    worker.engine.run(completed(first))
    worker.engine.run(retried(second))
    worker.engine.run(failed(third, fourth))
    worker.engine.run(revive(QUEUE, [third.request.id]))
    worker.engine.run(remove(QUEUE, [fourth.request.id]))

    found = await scraped(metrics)

    def positive(name: str) -> dict[tuple[str, ...], float]:
        return {labels: value for labels, value in found[name].items() if value}

    assert positive("cabrank_jobs_enqueued_total") == {(QUEUE, TASK): 4, (QUEUE, "email.password_reset"): 1}
    assert positive("cabrank_jobs_finished_total") == {(QUEUE, "completed", TASK): 1, (QUEUE, "failed", TASK): 2}
    assert positive("cabrank_attempts_total") == {("completed", QUEUE, TASK): 1, ("failed", QUEUE, TASK): 3}
    assert positive("cabrank_jobs_retried_total") == {(QUEUE, TASK): 1}
    assert positive("cabrank_jobs_removed_total") == {(QUEUE,): 1}


async def test_histograms_add_up(metrics: Metrics, worker: Worker, clock: Clock) -> None:
    """Three waits of 0, 1 and 6,000 s before starts that come 5 ms later; all run for 5 ms less than 2 s."""
    for n, wait in enumerate((0, 1, 6000)):
        put(worker.engine, f"j{n}")
        clock.advance(seconds=wait)
        job = worker.take_one()
        clock.advance(seconds=2)
        worker.engine.run(completed(job))

    found = await scraped(metrics)

    def buckets(name: str) -> dict[float, float]:
        of_task = (each for each in found[f"{name}_bucket"].items() if each[0][1:] == (QUEUE, TASK))
        return {float(le): count for (le, *_), count in of_task}

    waited, ran = buckets("cabrank_job_wait_seconds"), buckets("cabrank_job_run_seconds")
    started = RAN_FOR.total_seconds()
    assert [*waited] == [*ran] == [*(ms / 1000 for ms in BOUNDS), float("inf")]
    assert [waited[le] for le in (started, 0.5, 1.0, 2.5, 3600.0, float("inf"))] == [1, 1, 1, 2, 2, 3]
    assert [ran[le] for le in (1.0, 2.5, float("inf"))] == [0, 3, 3]
    for name, total in (("wait", 6001 + 3 * started), ("run", 6 - 3 * started)):
        assert found[f"cabrank_job_{name}_seconds_count"][QUEUE, TASK] == 3
        assert found[f"cabrank_job_{name}_seconds_sum"][QUEUE, TASK] == pytest.approx(total)


async def test_a_flood_of_names_does_not_flood_the_page(server: Server, engine: Engine) -> None:
    """Which of them are shown stays the same, and the catalog's are always among them."""
    strangers = [f"actor_{n:03}" for n in range(MOST_STRANGERS + 50)]
    put(engine, *(new_job(f"j{n}", task=task) for n, task in enumerate(reversed(strangers))))

    shown = (await scraped(server()))["cabrank_jobs_enqueued_total"]

    assert shown.keys() == {(QUEUE, task) for task in [*TASKS, *strangers[:MOST_STRANGERS]]}
    assert shown == (await scraped(server()))["cabrank_jobs_enqueued_total"]


async def test_the_alias_for_boards_of_bullmq_is_there_where_it_is_asked_for(server: Server, worker: Worker) -> None:
    put(worker.engine, "a", "b", new_job("later", delay=timedelta(hours=1)))
    worker.take_one()

    without, found = await scraped(server()), await scraped(server(bullmq=True))

    assert "bullmq_job_count" not in without
    counts = {state: count for (queue, state), count in found["bullmq_job_count"].items() if queue == QUEUE}
    assert counts == {
        "waiting": 1,
        "active": 1,
        "completed": 0,
        "failed": 0,
        "delayed": 1,
        "prioritized": 0,
        "waiting-children": 0,
    }


async def test_labels_never_carry_what_a_caller_wrote(metrics: Metrics, worker: Worker, clock: Clock) -> None:
    mark = "zq7"
    job = new_job(
        f"id-{mark}",
        payload=f'{{"email":"{mark}"}}'.encode(),
        labels={f"name-{mark}": mark},
        idempotency_key=f"key-{mark}",
    )
    put(worker.engine, job)
    worker.name = f"worker-{mark}"
    worker.engine.run(attend(QUEUE, worker.name, tasks=TASKS, threads=1, started_at=clock()))
    worker.engine.run(pause(QUEUE, mark))
    worker.take()

    text, _ = await metrics.exposition()

    assert mark not in text.decode()


async def test_servers_tell_the_same_of_queues(server: Server, worker: Worker) -> None:
    put(worker.engine, "a", "b", "c")
    worker.engine.run(failed(worker.take_one()))
    first, second = server(), server()
    first.observe("cabrank.v1.QueueService/Enqueue", "OK", 0.1)

    assert of_queues(await scraped(first)) == of_queues(await scraped(second))
