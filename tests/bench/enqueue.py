"""What a caller waits for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from cabrank.v1.email_pb2 import SendVerificationCodeRequest
from cabrank.v1.email_pb2_grpc import EmailServiceStub
from cabrank.v1.queue_pb2 import EnqueueRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub

from server.engine import look
from tests.bench.figure import Figure, spread
from tests.system.stack import Stack

_CALLS = 500
_CONNECTIONS, _REPETITIONS = 16, 1000


def enqueue_answers() -> Iterator[Figure]:
    """Unary calls one after the other, while every mail takes the SMTP server 3 s."""
    with Stack() as stack:
        stack.sink(delay=3)
        stack.server()
        stack.workers(threads=8)
        email = EmailServiceStub(stack.channel())
        request = SendVerificationCodeRequest(email="ada@example.org", code="123456", first_name="Ada")
        email.SendVerificationCode(request)
        waits = []
        for _ in range(_CALLS):
            began = time.perf_counter()
            email.SendVerificationCode(request)
            waits.append((time.perf_counter() - began) * 1000)
    yield Figure(
        claim="an enqueue answers in under 5 ms (median, unary) while the SMTP server takes 3 s a mail",
        measured=spread(waits, "ms"),
        holds=statistics.median(waits) < 5,
    )


def one_key_one_job() -> Iterator[Figure]:
    """The same request a thousand times, from sixteen connections at once."""
    with Stack() as stack:
        stack.server()
        request = EnqueueRequest(task="probe.mark", payload_json="{}", idempotency_key="once")

        def calls(_: int) -> list[tuple[str, bool]]:
            # Channels to one address would share one connection otherwise.
            own = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(stack.grpc_address, options=own) as channel:
                stub = QueueServiceStub(channel)
                answers = [stub.Enqueue(request) for _ in range(_REPETITIONS // _CONNECTIONS + 1)]
            return [(answer.job.id, answer.created) for answer in answers]

        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            answers = [answer for each in pool.map(calls, range(_CONNECTIONS)) for answer in each]
        jobs = sum(stack.engine.run(look.stats("probe")).jobs.values())
    ids, created = {job_id for job_id, _ in answers}, sum(created for _, created in answers)
    yield Figure(
        claim="one idempotency key, sent 1,000 times from 16 connections: one job",
        measured=f"{len(answers)} calls, {len(ids)} id, {created} created, {jobs} job stored",
        holds=len(answers) >= _REPETITIONS and (len(ids), created, jobs) == (1, 1, 1),
    )
