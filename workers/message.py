"""A job as Dramatiq carries it from a consumer to a thread."""

from __future__ import annotations

from typing import Any

from dramatiq import Message
from dramatiq.broker import MessageProxy

from server.engine.job import LeasedJob
from workers.holding import Holding


class JobMessage(Message[Any]):
    """Names its job and nothing else where it is printed: arguments may be secret, and Dramatiq logs messages."""

    def __str__(self) -> str:
        return f"{self.actor_name}[{self.message_id}]"

    __repr__ = __str__


class JobProxy(MessageProxy):
    """A message with the holding that it stands for."""

    def __init__(self, holding: Holding, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(_message(holding.job, args, kwargs))
        self.holding = holding
        self.settled = False  # its place is free and its end is told


def _message(job: LeasedJob, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobMessage:
    request = job.request
    return JobMessage(
        queue_name=request.queue,
        actor_name=request.task,
        args=args,
        kwargs=kwargs,
        # Whatever an actor raises is expected here: it is told once, with the job, and not by Dramatiq as well.
        options={"throws": BaseException},
        message_id=request.id,
        message_timestamp=int(request.created_at.timestamp() * 1000),
    )
