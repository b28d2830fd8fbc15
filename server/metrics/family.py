"""How a series of queues is made: what one queue has to tell for it, and how prometheus_client wants to have that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from server.admin.health import Overview
from server.engine.job import JobState
from server.engine.totals import BOUNDS, Timing, Totals
from server.metrics.series import Kind, Series

MOST_STRANGERS = 100  # tasks of a queue that no catalog knows: plain Dramatiq actors, or a flood of names

Values = Mapping[tuple[str, ...], float | Timing]  # by what the labels after `queue` hold
_BOUNDS_SECONDS = (*(str(ms / 1000) for ms in BOUNDS), "+Inf")
NEVER = Timing(buckets=(0,) * len(_BOUNDS_SECONDS), total=timedelta(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue as it is now, and the tasks that are told of it."""

    overview: Overview
    tasks: tuple[str, ...]

    @classmethod
    def of(cls, overview: Overview, known: Sequence[str]) -> Queue:
        """Tasks that the catalog knows have their series before their first job: else `rate` would miss that one."""
        counted = overview.stats.totals.enqueued
        strangers = sorted(task for task in counted if task not in known)
        return cls(overview=overview, tasks=(*known, *strangers[:MOST_STRANGERS]))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSeries(Series):
    of: Callable[[Queue], Values]


def families(all_series: Iterable[QueueSeries], queues: Sequence[Queue]) -> Iterator[Metric]:
    """As prometheus_client renders them."""
    for series in all_series:
        family = _FAMILIES[series.kind](series.name, series.help, labels=series.labels)
        for queue in queues:
            for labels, value in series.of(queue).items():
                family.add_metric((queue.overview.name, *labels), *_figures(value))
        yield family


_FAMILIES: dict[Kind, type[Any]] = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def _figures(value: float | Timing) -> tuple[Any, ...]:
    if not isinstance(value, Timing):
        return (value,)
    return list(zip(_BOUNDS_SECONDS, accumulate(value.buckets), strict=True)), value.total.total_seconds()


def by_state(name: str, says: str, states: Mapping[str, JobState | None]) -> QueueSeries:
    def of(queue: Queue) -> Values:
        return {(word,): queue.overview.stats[state] if state else 0 for word, state in states.items()}

    return QueueSeries(name=name, says=says, labels=("queue", "state"), of=of)


def gauge(name: str, says: str, of: Callable[[Overview], float]) -> QueueSeries:
    return QueueSeries(name=name, says=says, labels=("queue",), of=lambda queue: {(): of(queue.overview)})


def by_task(name: str, says: str, kind: Kind, of: Callable[[Totals, str], float | Timing]) -> QueueSeries:
    def values(queue: Queue) -> Values:
        return {(task,): of(queue.overview.stats.totals, task) for task in queue.tasks}

    return QueueSeries(name=name, says=says, kind=kind, labels=("queue", "task"), of=values)


def by_task_and(
    label: str, name: str, says: str, words: Iterable[str], of: Callable[[Totals], Mapping[Any, int]]
) -> QueueSeries:
    def values(queue: Queue) -> Values:
        counted = of(queue.overview.stats.totals)
        return {(task, word): counted.get((task, word), 0) for task in queue.tasks for word in words}

    return QueueSeries(name=name, says=says, kind=Kind.COUNTER, labels=("queue", "task", label), of=values)
