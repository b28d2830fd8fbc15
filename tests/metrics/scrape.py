"""The page as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from server.metrics import Metrics

Samples = dict[str, dict[tuple[str, ...], float]]


async def scraped(metrics: Metrics) -> Samples:
    """Name -> values of the labels, in the alphabetical order of the labels' names -> value."""
    text, _ = await metrics.exposition()
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def of_queues(samples: Samples) -> Samples:
    """Without what each server knows of itself and of Redis."""
    return {
        name: values
        for name, values in samples.items()
        if not name.startswith(("cabrank_rpc_", "cabrank_redis_", "cabrank_build_"))
    }


def counters(samples: Samples) -> Mapping[tuple[str, tuple[str, ...]], float]:
    """All that may only rise."""
    endings = ("_total", "_bucket", "_count", "_sum")
    return {
        (name, labels): value
        for name, values in samples.items()
        if name.endswith(endings) and not name.startswith("bullmq")
        for labels, value in values.items()
    }
