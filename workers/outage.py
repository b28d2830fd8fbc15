"""What the log says of a Redis that did not do its part."""

from __future__ import annotations


def reasons(error: Exception) -> dict[str, str]:
    """Fields of a log line: what it means here, and what it came of. Neither repeats Redis's URL or its password."""
    cause = error.__cause__
    return {"reason": str(error)} | ({"cause": f"{type(cause).__name__}: {cause}"} if cause else {})
