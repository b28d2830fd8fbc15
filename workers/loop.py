"""The event loop of a worker process, on which all async handlers run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from logging import Logger

import dramatiq
import structlog
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.middleware import AsyncIO

_START_SECONDS = 10.0
_FAREWELL_SECONDS = 0.5  # for what still runs on it when it ends

log = structlog.get_logger(__name__)


class LastingLoop(EventLoopThread):
    """A handler cannot end it, neither by stopping it nor by asking the process to exit: others run on it as well."""

    def __init__(self, logger: Logger) -> None:
        super().__init__(logger)
        # Or a process that is told to end at once, by its second SIGTERM, would wait for it for ever.
        self.daemon = True
        self._ending = False

    def run(self) -> None:
        while not self._ending:
            try:
                self.loop.run_forever()
            except BaseException as error:
                # A SystemExit, most likely. Its task has it as well.
                log.warning("a handler tried to end the event loop", reason=repr(error))
        self._tidy_up()
        self.loop.close()

    def stop(self) -> None:
        """May be repeated."""
        self._ending = True
        with suppress(RuntimeError):  # it is closed
            self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()

    def _tidy_up(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_FAREWELL_SECONDS))


class EventLoop(AsyncIO):
    """In place of Dramatiq's own, whose loop ends with the first SystemExit and lets every other job hang."""

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        thread = LastingLoop(self.logger)
        thread.start(timeout=_START_SECONDS)
        set_event_loop_thread(thread)
