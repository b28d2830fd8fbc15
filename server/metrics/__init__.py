"""What Prometheus is told: the queues as Redis has them at that moment, and the rpcs of this process.

page      the page as a whole; how rpcs are counted
redis     what is read from Redis when somebody asks for the page
queues    the series of queues, each with how it follows from what Redis knows
family    how one of these is made
series    what a series is

Of queues every server tells the same, so several servers must not be added up: take the highest of each, for counters
the highest of the rates. Of rpcs each server knows its own. The HELP of each series says so again.

    max by (queue, state) (cabrank_jobs)
    sum by (queue) (max by (queue, task) (rate(cabrank_jobs_enqueued_total[5m])))
    histogram_quantile(0.99, sum by (queue, le) (max by (queue, task, le) (rate(cabrank_job_wait_seconds_bucket[5m]))))
    sum by (method, code) (rate(cabrank_rpc_requests_total[5m]))

Labels hold names of queues, tasks, states, rpcs and codes; never an id, an address or what a caller wrote.
"""

from server.metrics.page import Metrics, every_series
from server.metrics.series import Kind, Series

__all__ = ["Kind", "Metrics", "Series", "every_series"]
