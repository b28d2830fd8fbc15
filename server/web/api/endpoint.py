"""What an endpoint is: all about one method of one path, as its handler declares it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

from server.admin import Admin
from server.web.api.answers import AnyAnswer
from server.web.api.shape import Shape

BASE = "/api/admin/queues"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Its handler is `async def verb_noun(admin, at, asked) -> Answer[…]`, and its annotations are the declaration.

    `at` is read from the path; `asked` from the body of a POST, else from the query. The docstring describes it to the
    world: what it does in the first line, then how. `refuses`: what it refuses besides what every endpoint may.
    """

    method: str
    path: str  # below BASE
    handler: Callable[[Admin, Any, Any], Awaitable[AnyAnswer]]
    refuses: tuple[type[Exception], ...] = ()

    @property
    def full_path(self) -> str:
        return BASE + self.path

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def at(self) -> type[Shape]:
        return self._types[1]

    @property
    def asked(self) -> type[Shape]:
        return self._types[2]

    @property
    def answer(self) -> type[Shape]:
        return self._types[3]

    @property
    def has_body(self) -> bool:
        return self.method == "POST"

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def summary(self) -> str:
        return self._doc.partition("\n")[0]

    @property
    def description(self) -> str:
        return " ".join(self._doc.partition("\n")[2].split())

    @property
    def _doc(self) -> str:
        return inspect.getdoc(self.handler) or ""

    @cached_property
    def _types(self) -> list[type[Shape]]:
        return list(get_type_hints(self.handler).values())
