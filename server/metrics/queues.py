"""The series of queues, each with how it follows from what Redis knows. SERIES is where to add one."""

from __future__ import annotations

from datetime import timedelta

from server.engine.job import AttemptOutcome, JobState
from server.engine.look import STATES
from server.metrics.family import NEVER, QueueSeries, by_state, by_task, by_task_and, gauge
from server.metrics.series import Kind

_ENDED = tuple(state for state in STATES if state.terminal)


def _seconds(age: timedelta | None) -> float:
    return age.total_seconds() if age else 0.0


SERIES = (
    by_state(
        "cabrank_jobs",
        "Jobs that stand in a state now. Delayed are those with a later start and those between two attempts.",
        {state: state for state in STATES},
    ),
    gauge(
        "cabrank_queue_paused",
        "1 while the queue hands out no jobs because an operator paused it, else 0.",
        lambda queue: queue.stats.paused,
    ),
    gauge(
        "cabrank_queue_stalled_jobs",
        "Active jobs whose lease has run out and that no sweep has taken back yet.",
        lambda queue: queue.stats.stalled,
    ),
    gauge(
        "cabrank_queue_oldest_waiting_seconds",
        "For how long the job that waits longest has been in line, 0 when none waits.",
        lambda queue: _seconds(queue.stats.oldest_waiting),
    ),
    gauge(
        "cabrank_queue_oldest_active_seconds",
        "For how long the attempt that runs longest has been running, 0 when none runs.",
        lambda queue: _seconds(queue.stats.oldest_active),
    ),
    gauge(
        "cabrank_queue_concurrency_limit",
        "Jobs of the queue that may be active at once, over all workers.",
        lambda queue: queue.rules.concurrency,
    ),
    gauge(
        "cabrank_workers",
        "Worker processes that serve the queue and were heard of in the last 15 s.",
        lambda queue: queue.stats.workers,
    ),
    gauge(
        "cabrank_queue_healthy_failed_jobs",
        "Failed jobs up to which the queue counts as healthy.",
        lambda queue: queue.rules.healthy_failed,
    ),
    gauge(
        "cabrank_queue_healthy_waiting_jobs",
        "Waiting jobs up to which the queue counts as healthy.",
        lambda queue: queue.rules.healthy_waiting,
    ),
    gauge(
        "cabrank_queue_healthy_stalled_jobs",
        "Stalled jobs up to which the queue counts as healthy.",
        lambda queue: queue.rules.healthy_stalled,
    ),
    gauge(
        "cabrank_queue_needs_workers",
        "1 when the queue counts as healthy only with a worker: its settings ask for one, and it has tasks or jobs.",
        lambda queue: queue.needs_workers,
    ),
    by_task(
        "cabrank_jobs_enqueued_total",
        "Jobs that were taken in. A request that is repeated counts once.",
        Kind.COUNTER,
        lambda totals, task: totals.enqueued.get(task, 0),
    ),
    by_task_and(
        "state",
        "cabrank_jobs_finished_total",
        "Jobs that ended, by how they did. One that an operator retries may end again.",
        _ENDED,
        lambda totals: totals.finished,
    ),
    by_task_and(
        "outcome",
        "cabrank_attempts_total",
        "Attempts that ended, by how they did: lost is one whose worker kept no lease on it.",
        tuple(AttemptOutcome),
        lambda totals: totals.attempts,
    ),
    by_task(
        "cabrank_jobs_retried_total",
        "Failed jobs that an operator put in line again.",
        Kind.COUNTER,
        lambda totals, task: totals.retried.get(task, 0),
    ),
    QueueSeries(
        name="cabrank_jobs_removed_total",
        says="Jobs that are not kept any more: their retention was over, or an operator removed them.",
        kind=Kind.COUNTER,
        labels=("queue",),
        of=lambda queue: {(): queue.overview.stats.totals.removed},
    ),
    by_task(
        "cabrank_job_wait_seconds",
        "How long jobs were in line before an attempt started; counted when the attempt has ended.",
        Kind.HISTOGRAM,
        lambda totals, task: totals.wait.get(task, NEVER),
    ),
    by_task(
        "cabrank_job_run_seconds",
        "How long attempts ran, but for lost ones, of which nobody knows.",
        Kind.HISTOGRAM,
        lambda totals, task: totals.run.get(task, NEVER),
    ),
)

BULLMQ = by_state(
    "bullmq_job_count",
    "cabrank_jobs under the name and in the states of BullMQ, which has none for cancelled jobs.",
    {
        "waiting": JobState.WAITING,
        "active": JobState.ACTIVE,
        "completed": JobState.COMPLETED,
        "failed": JobState.FAILED,
        "delayed": JobState.DELAYED,
        # Ours wait in one line, and for no children. A board that adds these up finds them all the same.
        "prioritized": None,
        "waiting-children": None,
    },
)
