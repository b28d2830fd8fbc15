"""metrics.md: every series that the page /metrics can have."""

from __future__ import annotations

from docs.reference import markdown
from server.metrics import Series, every_series

_HEAD = """
# Metrics

<!-- Made from server/metrics/ by `make reference`: what is wrong here is wrong there. -->

`GET /metrics` at `HTTP_ADDRESS`, in the text format of Prometheus. What is told of queues and jobs comes from Redis, at
most a second old, so that every server tells the same; counters survive a restart of everything, and only rise. What is
told of rpcs is this server's own, since it started.

The last column says what makes one figure of several servers'; counters and histograms are turned into a `rate` first.
[Operations](../operations.md#metrics) has examples. A histogram has the series `…_bucket`, with one more label `le`,
`…_sum` and `…_count`.
"""


def page() -> str:
    """The same series give the same text."""
    head = ("series", "type", "labels", "what it says", "several servers")
    return markdown.page(_HEAD, markdown.table(head, map(_cells, every_series())))


def _cells(series: Series) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    return (f"`{series.name}`", series.kind, labels, series.says, f"`{series.servers}`")
