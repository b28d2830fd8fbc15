"""What looking into full queues costs, and whether it is right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cabrank.v1 import admin_pb2 as admin
from cabrank.v1.admin_pb2_grpc import AdminServiceStub
from cabrank.v1.job_pb2 import JobState

from server.engine.admit import enqueue
from server.engine.mend import remove
from tests.bench.figure import Figure, median, spread, timed
from tests.bench.filling import fill, job
from tests.system.stack import Stack

_SMALL, _LARGE = 1_000, 1_000_000
_LISTED = 100_000
_CHURN, _CHURN_SECONDS = 20, 0.03  # jobs that come at once, and how long they stay


def stats_do_not_grow() -> Iterator[Figure]:
    """Two queues side by side, asked in turn."""
    with Stack(SMALL_QUEUE_CONCURRENCY="1", LARGE_QUEUE_CONCURRENCY="1") as stack:
        stack.server()
        for queue, jobs in (("small", _SMALL), ("large", _LARGE)):
            fill(stack.engine, queue, jobs)
        operator = AdminServiceStub(stack.channel())
        asked: dict[str, Callable[[str], object]] = {
            "stats": lambda queue: operator.GetQueue(admin.GetQueueRequest(queue=queue)),
            "a page of 50": lambda queue: operator.ListJobs(
                admin.ListJobsRequest(queue=queue, state=JobState.JOB_STATE_WAITING)
            ),
        }
        for name, ask in asked.items():
            took: dict[str, list[float]] = {"small": [], "large": []}
            for _ in range(300):
                for queue, times in took.items():
                    times.append(timed(partial(ask, queue)))
            ratio = median(took["large"]) / median(took["small"])
            yield Figure(
                claim=f"{name} in under 10 ms with 1,000,000 jobs, and no slower than with 1,000",
                measured=f"{spread(took['large'], 'ms')}; with 1,000: {spread(took['small'], 'ms')}; ratio {ratio:.2f}",
                holds=median(took["large"]) < 10 and ratio < 1.2,
            )


def list_is_stable() -> Iterator[Figure]:
    """No worker is there, so that what is to stay stays; others are enqueued and removed, in all three priorities."""
    with Stack(CABRANK_TASK_MODULES="tests.bench.tasks") as stack:
        stack.server()
        staying = set(fill(stack.engine, "listed", _LISTED))
        operator, engine = AdminServiceStub(stack.channel()), stack.engine
        over = threading.Event()

        def churn() -> int:
            n = 0
            while not over.is_set():
                n += 1
                jobs = [job("listed", f"churn-{n}-{i}", priority=i % 3 - 1) for i in range(_CHURN)]
                engine.run(enqueue("listed", jobs))
                over.wait(_CHURN_SECONDS)
                engine.run(remove("listed", [each.id for each in jobs]))
            return n * _CHURN

        seen: list[str] = []
        with ThreadPoolExecutor(1) as pool:
            churned = pool.submit(churn)
            began = time.monotonic()
            request = admin.ListJobsRequest(queue="listed", state=JobState.JOB_STATE_WAITING, page_size=200)
            while True:
                page = operator.ListJobs(request)
                seen += [each.id for each in page.jobs]
                request.page_token = page.next_page_token
                if not request.page_token:
                    break
            took = time.monotonic() - began
            over.set()
    twice, missed = len(seen) - len(set(seen)), len(staying - set(seen))
    yield Figure(
        claim="100,000 jobs listed page by page while others come and go: none twice, none missed that stayed",
        measured=f"{twice} twice, {missed} missed, {churned.result() / took:.0f} jobs/s came and went for {took:.1f} s",
        holds=twice == missed == 0,
    )
