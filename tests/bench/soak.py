"""Whether the counts are still right after hours of everything at once."""

from __future__ import annotations

import itertools
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
from cabrank.v1 import admin_pb2 as admin
from cabrank.v1.admin_pb2_grpc import AdminServiceStub
from cabrank.v1.queue_pb2 import CancelJobRequest, EnqueueRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub
from prometheus_client.parser import text_string_to_metric_families

from server.engine.job import JobState
from tests.bench.figure import Figure
from tests.conftest import raw_client
from tests.system.stack import Stack, until

_MINUTES = float(os.environ.get("CABRANK_TEST_SOAK_MINUTES", "1"))
_STATES = [state.value for state in JobState]
_PAYLOADS = (
    ("probe.mark", '{"ms":1}'),
    ("probe.mark_async", '{"ms":5}'),
    ("probe.fault", "{}"),
    ("probe.fault", '{"until":2}'),
)


def counts_agree() -> Iterator[Figure]:
    """Mixed load for CABRANK_TEST_SOAK_MINUTES (1); then the exporter against a scan of every job there is."""
    with Stack(PROBE_QUEUE_CONCURRENCY="8", CABRANK_COMPLETED_KEPT="2000", CABRANK_COMPLETED_RETENTION="2m") as stack:
        server, workers = stack.server(), stack.workers(processes=2, threads=4)
        done = _mixed_load(stack, minutes=_MINUTES)
        until(lambda: _live(stack) == 0, seconds=120, every=0.5)
        before = _scrape(stack)
        workers.terminate()
        workers.wait()
        server.terminate()
        server.wait()
        stack.server()
        told, scanned = _scrape(stack), _scan(stack)
    states = {state: told["cabrank_jobs", ("probe", state)] for state in _STATES}
    fallen = [
        name
        for name, value in before.items()
        if name[0].endswith("_total") and "rpc" not in name[0] and told[name] < value
    ]
    enqueued = sum(
        value for (name, labels), value in told.items() if name == "cabrank_jobs_enqueued_total" and "probe" in labels
    )
    removed = told["cabrank_jobs_removed_total", ("probe",)]
    yield Figure(
        claim=f"after {_MINUTES:g} minutes of mixed load the exporter's counts are those of a full scan",
        measured=(
            f"{ {state: int(n) for state, n in states.items()} }, scanned {dict(scanned)}; "
            f"accepted {done['enqueued']:,}, "
            f"enqueued_total {enqueued:,.0f} = there {sum(scanned.values()):,} + removed {removed:,.0f}; "
            f"{len(fallen)} counters fell over the restart; {dict(done)}"
        ),
        holds=all(scanned[state] == n for state, n in states.items())
        and enqueued == done["enqueued"] == sum(scanned.values()) + removed
        and not fallen,
    )


def _mixed_load(stack: Stack, *, minutes: float) -> Counter[str]:
    """Everything that moves jobs, at a few hundred a second. What was done, by name."""
    operator, queue = AdminServiceStub(stack.channel()), QueueServiceStub(stack.channel())
    ends = time.monotonic() + minutes * 60

    def load() -> Counter[str]:
        done = Counter[str]()
        for n in itertools.count():
            if time.monotonic() > ends:
                break
            task, payload = _PAYLOADS[n % len(_PAYLOADS)]
            request = EnqueueRequest(task=task, payload_json=payload, priority=n % 3)
            if n % 10 == 0:
                request.delay.seconds = 2
            job_id = queue.Enqueue(request).job.id
            done["enqueued"] += 1
            if n % 25 == 0:
                done["cancelled"] += _accepted(partial(queue.CancelJob, CancelJobRequest(queue="probe", job_id=job_id)))
            if n % 40 == 0:
                done["removed"] += _accepted(
                    partial(operator.RemoveJob, admin.RemoveJobRequest(queue="probe", job_id=job_id))
                )
            time.sleep(0.005)
        return done

    def steer() -> Counter[str]:
        done = Counter[str]()
        while time.monotonic() < ends:
            time.sleep(3)
            done["retried"] += operator.RetryFailedJobs(admin.RetryFailedJobsRequest(queue="probe", limit=50)).done
            done["cleaned"] += operator.CleanQueue(admin.CleanQueueRequest(queue="probe", limit=100)).done
            operator.PauseQueue(admin.PauseQueueRequest(queue="probe"))
            operator.ResumeQueue(admin.ResumeQueueRequest(queue="probe"))
            done["pauses"] += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        return sum((each.result() for each in [pool.submit(load), pool.submit(load), pool.submit(steer)]), Counter())


def _accepted(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError as error:
        if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND):
            raise
        return False
    return True


def _live(stack: Stack) -> int:
    stats = AdminServiceStub(stack.channel()).GetQueue(admin.GetQueueRequest(queue="probe")).queue
    return stats.waiting + stats.active + stats.delayed


def _scrape(stack: Stack) -> dict[tuple[str, tuple[str, ...]], float]:
    """Name and label values -> value."""
    with urllib.request.urlopen(f"http://{stack.http_address}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def _scan(stack: Stack) -> Counter[str]:
    """Every record, and the set that its job stands in."""
    prefix = "cabrank:{probe}:"
    found = Counter[str]()
    with raw_client(stack.redis) as raw:
        for job_id, _ in raw.hscan_iter(f"{prefix}jobs", count=1000):
            for state in _STATES:
                found[state] += raw.zscore(prefix + state, job_id) is not None
    return found
