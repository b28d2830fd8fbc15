"""What the catalog refuses.

CatalogError
├── InvalidCatalog      declarations that cannot be loaded or contradict each other: stops the start
├── NotInCatalog
│   ├── QueueNotFound
│   └── TaskNotFound
└── InvalidPayload      one violation per wrong field
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

_MOST_SHOWN = 100


class CatalogError(Exception):
    """Everything that the catalog refuses."""


class InvalidCatalog(CatalogError):
    """What was declared cannot be served. The text says where and why."""


class NotInCatalog(CatalogError):
    """Nobody declared what was asked for. `nearest` holds the names that may have been meant."""

    kind: ClassVar[str]

    def __init__(self, name: str, nearest: Sequence[str]) -> None:
        super().__init__(name, nearest)
        self.name = name
        self.nearest = tuple(nearest)

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.nearest)}?" if self.nearest else ""
        return f"there is no {self.kind} {self.name[:_MOST_SHOWN]!r}{hint}"


class QueueNotFound(NotInCatalog):
    """No queue has this name."""

    kind = "queue"


class TaskNotFound(NotInCatalog):
    """No task has this name."""

    kind = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """What is wrong with one field. `field` is its path, as `payload.user.name`; `message` a phrase about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field} {self.message}"


class InvalidPayload(CatalogError):
    """The payload does not fit its task. Says where, and never repeats a value: it may be a secret."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return "; ".join(map(str, self.violations))
