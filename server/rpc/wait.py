"""Waiting for jobs to end: one look for all who wait, and no load while nobody does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from server.engine.admit import BATCH_LIMIT, states
from server.engine.async_engine import AsyncEngine

LONGEST_WAIT = 60.0  # s
USUAL_WAIT = 10.0  # s, where the caller set neither timeout nor deadline
_PAUSE = 0.025  # s between two looks
_SHARE = 4  # looking takes at most one part in five of the time, however many wait

Look = asyncio.Future[None]


def patience(asked: timedelta | None, *, left: float | None) -> float:
    """How many seconds to wait. `left`: until the deadline of the call, before which the answer has to arrive."""
    usual = USUAL_WAIT if left is None else LONGEST_WAIT
    wait = min(usual if asked is None else asked.total_seconds(), LONGEST_WAIT)
    return wait if left is None else min(wait, before_deadline(left))


def before_deadline(left: float) -> float:
    """Of so many seconds until the deadline, those after which an answer still comes in time."""
    return left - min(left / 10, 0.5)


class Waits:
    """Wakes those who wait for a job when there may be something to see: its end, a fault, or the server's stop.

    Whoever is woken looks for himself. So nothing is passed on from here, and nothing can be passed on wrongly.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._watches: dict[str, _Watch] = {}
        self._closed = False

    async def ended(self, queue: str, job_id: str, *, seconds: float) -> None:
        """Returns when the job has ended or is gone, at the latest after `seconds`."""
        if self._closed:
            return
        if queue not in self._watches:
            self._watches[queue] = _Watch(self._engine, queue)
        await self._watches[queue].ended(job_id, seconds)

    def close(self) -> None:
        """Wakes everybody, now and from now on."""
        self._closed = True
        for watch in self._watches.values():
            watch.wake_all()


class _Watch:
    """Those who wait for jobs of one queue, and the task that looks for them."""

    def __init__(self, engine: AsyncEngine, queue: str) -> None:
        self._engine = engine
        self._queue = queue
        self._looks: dict[str, set[Look]] = {}
        self._task: asyncio.Task[None] | None = None

    async def ended(self, job_id: str, seconds: float) -> None:
        look: Look = asyncio.get_running_loop().create_future()
        self._looks.setdefault(job_id, set()).add(look)
        self._task = self._task or asyncio.create_task(self._watch())
        try:
            await asyncio.wait([look], timeout=seconds)
        finally:
            self._forget(job_id, look)

    def wake_all(self) -> None:
        self._wake(list(self._looks))

    async def _watch(self) -> None:
        while self._looks:
            began = time.monotonic()
            for job_ids in _chunks(list(self._looks)):
                self._wake(await self._worth_a_look(job_ids))
            await asyncio.sleep(max(_PAUSE, _SHARE * (time.monotonic() - began)))
        self._task = None

    async def _worth_a_look(self, job_ids: Sequence[str]) -> Sequence[str]:
        try:
            found = await self._engine.run(states(self._queue, job_ids))
        except Exception:  # whatever it is, each of them meets it by himself and tells his caller
            return job_ids
        return [job_id for job_id, state in zip(job_ids, found, strict=True) if state is None or state.terminal]

    def _wake(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            for look in self._looks.get(job_id, ()):
                if not look.done():
                    look.set_result(None)

    def _forget(self, job_id: str, look: Look) -> None:
        self._looks[job_id].discard(look)
        if not self._looks[job_id]:
            del self._looks[job_id]


def _chunks(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(job_ids), BATCH_LIMIT):
        yield job_ids[at : at + BATCH_LIMIT]
