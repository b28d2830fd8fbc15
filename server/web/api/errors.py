"""What the door refuses by itself, before the admin room is asked.

ApiError
├── InvalidFields       at least one field of path, query or body is wrong; each is named
├── BodyTooLarge
├── NotJson             a body of another kind
├── CrossSite           a page of another site sent it
├── PathNotFound
└── MethodNotAllowed
"""

from __future__ import annotations

from collections.abc import Sequence

from server.catalog import Violation

BODY_LIMIT = 64 * 1024  # bytes


class ApiError(Exception):
    """The root of what the door refuses."""


class InvalidFields(ApiError):
    """Fields are missing, malformed, out of range or not known."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return "; ".join(map(str, self.violations))


class BodyTooLarge(ApiError):
    """It was not looked into."""

    def __str__(self) -> str:
        return f"the body must not be larger than {BODY_LIMIT // 1024} KiB"


class NotJson(ApiError):
    """The header says that the body is something else. A form on a page of another site could not say otherwise."""

    def __str__(self) -> str:
        return "the body must be JSON: send the header Content-Type: application/json"


class CrossSite(ApiError):
    """A browser says that a page of another site wants something changed."""

    def __str__(self) -> str:
        return "pages of other sites may change nothing here"


class PathNotFound(ApiError):
    """Nothing is served there."""

    def __str__(self) -> str:
        return "nothing is served under this path: /api/openapi.json lists what is"


class MethodNotAllowed(ApiError):
    """The path is served, but not by this method. The header Allow names those."""

    def __str__(self) -> str:
        return "this path does not take this method"
