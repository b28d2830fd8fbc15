"""Transitions of jobs that operators ask for: revive, remove, hasten."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from server.engine.call import Call, call
from server.engine.errors import EngineError, JobInState, JobNotFound, SecretsErased, UniqueConflict
from server.engine.job import JobState

MEND_LIMIT = 1000  # jobs a call


def revive(queue: str, job_ids: Sequence[str], *, dry: bool = False) -> Call[list[EngineError | None]]:
    """failed -> waiting, with all attempts anew. For each job None, or why it stays as it is: JobNotFound, JobInState,
    SecretsErased, UniqueConflict. `dry`: only tells. At most 1,000.
    """
    # By it the script knows its own repetition; another call is another retry.
    mark = secrets.token_hex(6)

    def read(reply: list[bytes]) -> list[EngineError | None]:
        words = zip(job_ids, reply[::2], reply[1::2], strict=True)
        return [_refusal(queue, job_id, word, detail) for job_id, word, detail in words]

    return call("revive", queue, [mark, int(dry), *job_ids], read)


def remove(queue: str, job_ids: Sequence[str], *, state: JobState | None = None) -> Call[list[EngineError | None]]:
    """waiting | delayed | completed | failed | cancelled -> gone. For each job None, or why it stays: JobNotFound,
    JobInState where it is active, or not in `state` any more. At most 1,000. Repeated, it finds none of them.
    """

    def read(reply: list[bytes]) -> list[EngineError | None]:
        words = zip(job_ids, reply[::2], reply[1::2], strict=True)
        return [_refusal(queue, job_id, word, detail) for job_id, word, detail in words]

    return call("remove", queue, [state or "", *job_ids], read)


def hasten(queue: str, job_id: str, *, active: bool = False) -> Call[JobState]:
    """delayed -> waiting, before it is due. The state it is in then; a waiting job stays so.

    `active`: one that is active stays so, but its attempt does not put it off. Raises JobNotFound, and JobInState
    otherwise. May be repeated.
    """

    def read(reply: list[bytes]) -> JobState:
        refusal = _refusal(queue, job_id, reply[0], reply[1])
        if refusal:
            raise refusal
        return JobState(reply[1].decode())

    return call("hasten", queue, [job_id, int(active)], read)


_REFUSALS: dict[bytes, Callable[[str, str, str], EngineError]] = {
    b"JOB_NOT_FOUND": lambda queue, job_id, _: JobNotFound(queue, job_id),
    b"JOB_STATE": lambda _queue, job_id, state: JobInState(job_id, state),
    b"SECRETS_ERASED": lambda _queue, job_id, _: SecretsErased(job_id),
    b"UNIQUE_CONFLICT": lambda _queue, _job_id, other: UniqueConflict(other),
}


def _refusal(queue: str, job_id: str, word: bytes, detail: Any) -> EngineError | None:
    return None if word == b"OK" else _REFUSALS[word](queue, job_id, detail.decode())
