"""Tasks whose handlers leave a trace: one line in the ledger for every start and every end.

Loaded by the processes under test through CABRANK_TASK_MODULES.
"""

import asyncio
import os
import time
from datetime import timedelta

from server.catalog import JobContext, Payload, Task, handler

_LEDGER = "CABRANK_TEST_LEDGER"


class Mark(Payload, frozen=True):
    """`ms`: how long it lasts."""

    ms: int = 0


MARK = Task(name="probe.mark", queue="probe", payload=Mark)


class Fault(Payload, frozen=True):
    """`until`: the attempt that ends well; 0: none does."""

    until: int = 0


FAULT = Task(name="probe.fault", queue="probe", payload=Fault, max_attempts=2, retry_delay=timedelta(milliseconds=20))
MARK_ASYNC = Task(name="probe.mark_async", queue="probe", payload=Mark)


@handler(MARK)
def mark(payload: Mark, job: JobContext) -> None:
    note("start", job)
    time.sleep(payload.ms / 1000)
    note("end", job)


@handler(MARK_ASYNC)
async def mark_async(payload: Mark, job: JobContext) -> None:
    note("start", job)
    await asyncio.sleep(payload.ms / 1000)
    note("end", job)


@handler(FAULT)
def fault(payload: Fault, job: JobContext) -> None:
    note("start", job)
    note("end", job)
    if job.attempt != payload.until:
        raise RuntimeError(f"attempt {job.attempt} was to fail")


def note(event: str, job: JobContext) -> None:
    """`monotonic` counts for all processes of a machine alike."""
    line = f"{event} {job.id} {job.attempt} {os.getpid()} {time.monotonic():.6f}\n"
    # One write with O_APPEND: lines of many processes never mix.
    ledger = os.open(os.environ[_LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, line.encode())
    finally:
        os.close(ledger)
