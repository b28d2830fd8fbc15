"""What looking into full queues costs, and whether it is right."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cabrank.v1 import admin_pb2 as admin
from cabrank.v1.admin_pb2_grpc import AdminServiceStub
from cabrank.v1.job_pb2 import JobState
from cabrank.v1.queue_pb2 import CancelJobRequest, EnqueueRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub

from tests.bench.figure import Figure, median, spread, timed
from tests.bench.filling import fill
from tests.system.stack import Stack

_SMALL, _LARGE = 1_000, 1_000_000
_LISTED, _CHURN = 100_000, 250  # jobs; jobs a second and thread


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
    """A paused queue, so that what is to stay stays; the others come by enqueue and go by cancel."""
    with Stack(LISTED_QUEUE_CONCURRENCY="1", CABRANK_TASK_MODULES="tests.bench.tasks") as stack:
        stack.server()
        staying = set(fill(stack.engine, "listed", _LISTED))
        operator, queue = AdminServiceStub(stack.channel()), QueueServiceStub(stack.channel())
        over, churned = threading.Event(), Counter[str]()

        def churn() -> None:
            for n in itertools.count():
                if over.is_set():
                    return
                request = EnqueueRequest(task="listed.job", payload_json="{}", priority=(n % 3) - 1)
                job_id = queue.Enqueue(request).job.id
                queue.CancelJob(CancelJobRequest(queue="listed", job_id=job_id))
                churned["jobs"] += 1
                over.wait(1 / _CHURN)

        seen: list[str] = []
        with ThreadPoolExecutor(2) as pool:
            threads = [pool.submit(churn) for _ in range(2)]
            began = time.monotonic()
            token = ""
            while True:
                page = operator.ListJobs(
                    admin.ListJobsRequest(
                        queue="listed", state=JobState.JOB_STATE_WAITING, page_size=500, page_token=token
                    )
                )
                seen += [job.id for job in page.jobs]
                token = page.next_page_token
                if not token:
                    break
            took = time.monotonic() - began
            over.set()
            for thread in threads:
                thread.result()
    twice, missed = len(seen) - len(set(seen)), len(staying - set(seen))
    yield Figure(
        claim="100,000 jobs listed page by page while others come and go: none twice, none missed that stayed",
        measured=f"{twice} twice, {missed} missed, {churned['jobs'] / took:.0f} jobs/s came and went for {took:.1f} s",
        holds=twice == missed == 0,
    )
