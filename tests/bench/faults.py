"""What becomes of jobs when something dies."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from cabrank.v1.email_pb2 import SendVerificationCodeRequest
from cabrank.v1.email_pb2_grpc import EmailServiceStub
from cabrank.v1.job_pb2 import AttemptOutcome, Job, JobState
from cabrank.v1.queue_pb2 import EnqueueRequest, GetJobRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub

from tests.bench.figure import Figure
from tests.system.stack import Stack, until

_JOBS = 200
_MAILS = 50
_OUTAGE_SECONDS = 60


def worker_killed() -> Iterator[Figure]:
    """kill -9 to every process of the worker while all its threads are busy; another one takes over."""
    with Stack(PROBE_QUEUE_CONCURRENCY=str(_JOBS)) as stack:
        stack.server()
        doomed = stack.workers(threads=_JOBS)
        queue = QueueServiceStub(stack.channel())
        ids = [
            queue.Enqueue(EnqueueRequest(task="probe.mark", payload_json='{"ms":8000}')).job.id for _ in range(_JOBS)
        ]
        until(lambda: len(stack.ledger()) == _JOBS, seconds=60)
        os.killpg(doomed.pid, signal.SIGKILL)
        killed = time.monotonic()
        stack.workers(threads=_JOBS)
        until(lambda: sum(line.event == "start" for line in stack.ledger()) == 2 * _JOBS, seconds=60)
        restarted = time.monotonic() - killed
        jobs = [_ended(queue, "probe", job_id) for job_id in ids]
    completed = sum(job.state == JobState.JOB_STATE_COMPLETED for job in jobs)
    lost = sum(any(a.outcome == AttemptOutcome.ATTEMPT_OUTCOME_LOST for a in job.attempts) for job in jobs)
    yield Figure(
        claim="kill -9 of the worker during 200 running jobs: all complete, the lost lease is on each job",
        measured=f"{completed} completed, {lost} show the lost lease, all running again after {restarted:.1f} s",
        holds=completed == lost == _JOBS,
    )


def smtp_outage() -> Iterator[Figure]:
    """No SMTP server for a minute, with the settings as they are."""
    with Stack() as stack:
        stack.server()
        stack.workers(threads=8)
        email, queue = EmailServiceStub(stack.channel()), QueueServiceStub(stack.channel())
        request = SendVerificationCodeRequest(email="ada@example.org", code="123456", first_name="Ada")
        ids = [email.SendVerificationCode(request).job.id for _ in range(_MAILS)]
        time.sleep(_OUTAGE_SECONDS)
        stack.sink()
        back = time.monotonic()
        until(lambda: len(stack.mails()) >= _MAILS, seconds=180)
        took = time.monotonic() - back
        jobs = [_ended(queue, "email", job_id) for job_id in ids]
        arrivals = Counter(_message_id(mail) for mail in stack.mails())
    spent = sum(job.attempts_made - 1 for job in jobs)
    yield Figure(
        claim="SMTP unreachable for 60 s: every mail arrives afterwards, each once, no attempt spent",
        measured=(
            f"{len(arrivals)} of {_MAILS} mails, at most {max(arrivals.values())} of each, {spent} attempts spent, "
            f"{sum(job.snoozes for job in jobs)} snoozes, the last mail {took:.1f} s after the server was back"
        ),
        holds=len(arrivals) == _MAILS and max(arrivals.values()) == 1 and spent == 0,
    )


def smtp_refusals() -> Iterator[Figure]:
    """A 451 twice and then yes, and a 550, both as the answer to the content."""
    seen: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)

    class Moody:
        async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802
            (to,) = envelope.rcpt_tos
            message_id = str(message_from_bytes(envelope.original_content or b"")["Message-ID"])
            seen[to].append((time.monotonic(), message_id))
            if to.startswith("never"):
                return "550 5.1.1 no such user"
            return "451 4.3.0 not now" if len(seen[to]) <= 2 else "250 2.0.0 kept"

    with Stack() as stack:
        smtp = Controller(Moody(), hostname="127.0.0.1", port=stack.smtp_port, server_hostname="localhost")
        smtp.start()
        stack.server()
        stack.workers()
        email, queue = EmailServiceStub(stack.channel()), QueueServiceStub(stack.channel())
        jobs = {
            to: email.SendVerificationCode(
                SendVerificationCodeRequest(email=f"{to}@example.org", code="123456", first_name="Ada")
            ).job.id
            for to in ("later", "never")
        }
        later, never = (_ended(queue, "email", job_id) for job_id in jobs.values())
        smtp.stop()
    times, message_ids = zip(*seen["later@example.org"], strict=True)
    waits = [after - before for before, after in itertools.pairwise(times)]
    yield Figure(
        claim="a 451 is retried with rising delays under one Message-ID",
        measured=(
            f"{JobState.Name(later.state)} after {later.attempts_made} attempts, "
            f"delays {', '.join(f'{wait:.1f} s' for wait in waits)}, {len(set(message_ids))} Message-ID"
        ),
        holds=later.state == JobState.JOB_STATE_COMPLETED and len(set(message_ids)) == 1 and waits == sorted(waits),
    )
    tries = len(seen["never@example.org"])
    yield Figure(
        claim="a 550 fails at once",
        measured=f"{JobState.Name(never.state)} after {tries} try: {never.failure.message}",
        holds=never.state == JobState.JOB_STATE_FAILED and tries == 1,
    )


def _ended(queue: QueueServiceStub, name: str, job_id: str) -> Job:
    asked = GetJobRequest(queue=name, job_id=job_id)
    until(lambda: queue.GetJob(asked).job.HasField("end_time"), seconds=60, every=0.05)
    return queue.GetJob(asked).job


def _message_id(mail: Path) -> str:
    return str(message_from_bytes(mail.read_bytes())["Message-ID"])
