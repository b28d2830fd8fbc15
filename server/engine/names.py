"""Names that become part of Redis keys and members, and what they may look like.

Checked before any key is built: a brace or a blank in a name would move a queue to another slot or split a record.
"""

from __future__ import annotations

import base64
import os
import re
import time

from server.engine.errors import InvalidValue

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_WORKER = re.compile(r"[!#-\[\]-~]{1,200}")  # printable, and neither ends a word of a lease nor a string of JSON
_TASK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:<>-]{0,199}")


def checked_queue(name: str) -> str:
    """`name`, or InvalidValue."""
    return _checked(_QUEUE, "queue", name, "must be 1 to 100 letters, digits, _ . or -")


def checked_job_id(job_id: str) -> str:
    """`job_id`, or InvalidValue."""
    return _checked(_JOB_ID, "job_id", job_id, "must be 1 to 100 letters, digits, _ . : or -")


def checked_task(task: str) -> str:
    """`task`, or InvalidValue. Wider than the catalog's rule: plain Dramatiq actors are named by their functions."""
    return _checked(_TASK, "task", task, "must be 1 to 200 letters, digits, _ . : < > or -")


def checked_worker(name: str) -> str:
    """`name`, or InvalidValue."""
    return _checked(_WORKER, "worker", name, 'must be 1 to 200 printable ASCII characters, but no blank, " or \\')


def new_job_id() -> str:
    """24 characters that sort by the time they were made (48 bits of ms, then 72 of chance)."""
    ms = time.time_ns() // 1_000_000
    return base64.b32hexencode(ms.to_bytes(6, "big") + os.urandom(9)).decode().lower()


def _checked(pattern: re.Pattern[str], field: str, name: str, rule: str) -> str:
    if not pattern.fullmatch(name):
        raise InvalidValue(field, rule)
    return name
