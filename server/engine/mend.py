"""Transitions of jobs that operators ask for: revive, remove, hasten."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from server.engine.call import Argument, Call, call
from server.engine.errors import EngineError, InvalidValue, JobInState, JobNotFound, SecretsErased, UniqueConflict
from server.engine.job import JobState

MEND_LIMIT = 1000  # jobs a call


def revive(queue: str, job_ids: Sequence[str], *, dry: bool = False) -> Call[list[EngineError | None]]:
    """failed -> waiting, with all attempts anew. For each job None, or why it stays as it is: JobNotFound, JobInState,
    SecretsErased, UniqueConflict. `dry`: only tells. 1 to 1,000 jobs.
    """
    # By it the script knows its own repetition; another call is another retry.
    mark = secrets.token_hex(6)
    return _of_many("revive", queue, [mark, int(dry)], job_ids)


def remove(queue: str, job_ids: Sequence[str], *, state: JobState | None = None) -> Call[list[EngineError | None]]:
    """waiting | delayed | completed | failed | cancelled -> gone. For each job None, or why it stays: JobNotFound,
    JobInState where it is active, or not in `state` any more. 1 to 1,000 jobs. Repeated, it finds none of them.
    """
    return _of_many("remove", queue, [state or ""], job_ids)


def hasten(queue: str, job_id: str, *, active: bool = False) -> Call[JobState]:
    """delayed -> waiting, before it is due. The state it is in then; a waiting job stays so.

    `active`: one that is active stays so, but its attempt does not put it off. Raises JobNotFound, and JobInState
    otherwise. May be repeated.
    """

    def read(reply: list[bytes]) -> JobState:
        refusal = _refusal("hasten", queue, job_id, reply[0], reply[1])
        if refusal:
            raise refusal
        return JobState(reply[1].decode())

    return call("hasten", queue, [job_id, int(active)], read)


def _of_many(
    name: str, queue: str, terms: Sequence[Argument], job_ids: Sequence[str]
) -> Call[list[EngineError | None]]:
    if not 1 <= len(job_ids) <= MEND_LIMIT:
        raise InvalidValue("job_ids", f"must be 1 to {MEND_LIMIT:,}")

    def read(reply: list[bytes]) -> list[EngineError | None]:
        words = zip(job_ids, reply[::2], reply[1::2], strict=True)
        return [_refusal(name, queue, job_id, word, detail) for job_id, word, detail in words]

    return call(name, queue, [*terms, *job_ids], read)


# Of a verb and the state that is in its way, what to do about it.
_ADVICE = {("remove", "active"): "cancel it first", ("revive", "delayed"): "promote it, and it starts now"}


def _refusal(verb: str, queue: str, job_id: str, word: bytes, detail: bytes) -> EngineError | None:
    match word:
        case b"OK":
            return None
        case b"JOB_NOT_FOUND":
            return JobNotFound(queue, job_id)
        case b"SECRETS_ERASED":
            return SecretsErased(job_id)
        case b"UNIQUE_CONFLICT":
            return UniqueConflict(detail.decode())
    state = detail.decode()
    return JobInState(job_id, state, advice=_ADVICE.get((verb, state), ""))
