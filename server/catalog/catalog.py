"""Which queues and tasks exist: the built-in ones, and those in modules of other teams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Self, TypeVar

from server.catalog import email
from server.catalog.errors import InvalidCatalog, QueueNotFound, TaskNotFound
from server.catalog.handler import Handler
from server.catalog.names import nearest
from server.catalog.task import Task

T = TypeVar("T")

BUILT_IN_QUEUES = ("email", "sync", "payment", "enrollment", "notification", "cleanup")
BUILT_IN_MODULES = (email.__name__,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Every task and every handler by the task's name, and the name of every queue."""

    tasks: Mapping[str, Task[Any]]
    handlers: Mapping[str, Handler[Any]]
    queues: tuple[str, ...]

    @classmethod
    def load(cls, modules: Iterable[str] = (), *, queues: Iterable[str] = ()) -> Self:
        """The built-in tasks and what `modules` declare. `queues` exist even when no task waits in them.

        Raises InvalidCatalog when a module cannot be imported, or when two things have one name.
        """
        found = [(name, each) for name in (*BUILT_IN_MODULES, *modules) for each in _globals_of(name)]
        handlers = [(module, each) for module, each in found if isinstance(each, Handler)]
        tasks = [(module, each) for module, each in found if isinstance(each, Task)]
        tasks += [(module, each.task) for module, each in handlers]
        named = _by_name("task", ((module, task.name, task) for module, task in tasks))
        return cls(
            tasks=named,
            handlers=_by_name("the handler of task", ((module, each.task.name, each) for module, each in handlers)),
            queues=_queues(named.values(), queues),
        )

    def task(self, name: str) -> Task[Any]:
        """Raises TaskNotFound."""
        if name not in self.tasks:
            raise TaskNotFound(name, nearest(name, self.tasks))
        return self.tasks[name]

    def queue(self, name: str) -> str:
        """The name itself. Raises QueueNotFound."""
        if name not in self.queues:
            raise QueueNotFound(name, nearest(name, self.queues))
        return name


def _globals_of(module: str) -> list[Any]:
    try:
        return list(vars(import_module(module)).values())
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise InvalidCatalog(f"CABRANK_TASK_MODULES: {module} cannot be imported: {why}") from error


def _by_name(kind: str, found: Iterable[tuple[str, str, T]]) -> Mapping[str, T]:
    """(module, name, thing) by name. One thing may stand in two modules: the second imported it."""
    first: dict[str, tuple[str, T]] = {}
    for module, name, thing in found:
        first_module, first_thing = first.setdefault(name, (module, thing))
        if thing is not first_thing:
            raise InvalidCatalog(f"{kind} {name} is declared twice, in {first_module} and in {module}")
    return MappingProxyType({name: thing for name, (_, thing) in first.items()})


def _queues(tasks: Iterable[Task[Any]], configured: Iterable[str]) -> tuple[str, ...]:
    known = dict.fromkeys((*BUILT_IN_QUEUES, *(task.queue for task in tasks)))
    # A variable's name has no hyphen: COURSE_IMPORT_QUEUE_CONCURRENCY may be about course-import.
    spelt = {name.replace("-", "_") for name in known}
    return (*known, *(name for name in configured if name not in spelt))
