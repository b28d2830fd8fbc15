"""Imports run down only: no room knows what stands above it or beside it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the roof to the ground. A room knows those below it, and itself.
FLOORS = (
    {"server.__main__"},
    {"server.app", "server.dev"},
    {"server.rpc", "server.web", "server.metrics", "workers", "cabrank"},
    {"server.admin"},
    {"server.engine", "server.catalog", "server.settings", "server.logs"},
    {"cabrank.v1", "cabrank.platform"},
)
HEIGHT = {room: -depth for depth, rooms in enumerate(FLOORS) for room in rooms}
HOUSES = {"server", "workers", "cabrank"}
# Redis and Lua know nothing of gRPC, protobuf or Dramatiq: what the engine needs is all that it may have.
ENGINE_NEEDS = {"redis", "msgspec"}


def room_of(module: str) -> str | None:
    """The room that a module belongs to; None where no floor has one for it."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in HEIGHT), None)


def imports_of(module: str, text: str, *, is_package: bool) -> Iterator[str]:
    """Full names of what a module imports, wherever in it. `from a import b` may mean the module a.b: it counts so."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: (1 if is_package else 0) - node.level or None] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def violations(module: str, text: str, *, is_package: bool = False) -> list[str]:
    """A sentence for each import that does not run down."""
    room = room_of(module)
    if room is None:
        return [f"{module} has no floor: give it one in tests/test_floors.py"]
    found = []
    for name in imports_of(module, text, is_package=is_package):
        house = name.partition(".")[0]
        other = room_of(name)
        if house in HOUSES and other is None:
            found.append(f"{module} imports {name}, which has no floor")
        elif other is not None and other != room and HEIGHT[other] >= HEIGHT[room]:
            found.append(f"{module} imports {name}: {other} is not below {room}")
        elif room == "cabrank" and house in HOUSES - {"cabrank"}:
            found.append(f"{module} imports {name}: the client is installed without us")
        elif room == "server.engine" and house not in HOUSES | ENGINE_NEEDS | sys.stdlib_module_names:
            found.append(f"{module} imports {name}: the engine needs {' and '.join(sorted(ENGINE_NEEDS))} only")
    return found


def modules() -> Iterator[tuple[str, Path]]:
    """All of ours; what is made from protos/ is no one's to check."""
    for top in (ROOT / "server", ROOT / "workers", ROOT / "clients/python/cabrank"):
        for path in sorted(top.rglob("*.py")):
            name = ".".join(path.relative_to(top.parent).with_suffix("").parts).removesuffix(".__init__")
            if "_pb2" not in path.stem and name != "server":
                yield name, path


@pytest.mark.parametrize(("name", "path"), [pytest.param(name, path, id=name) for name, path in modules()])
def test_imports_run_down(name: str, path: Path) -> None:
    assert violations(name, path.read_text(), is_package=path.stem == "__init__") == []


def test_the_house_has_no_hall_where_everybody_meets() -> None:
    assert (ROOT / "server/__init__.py").read_text() == ""


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("server.engine.call", "from server.rpc import status"),
        ("server.engine.call", "import server.rpc.status"),
        ("server.engine.call", "from server import rpc"),
        ("server.engine.call", "from ..settings import Settings"),
        ("server.engine.call", "def later():\n    from server.catalog import Catalog"),
        ("server.engine.call", "if TYPE_CHECKING:\n    from workers.broker import Broker"),
        ("server.engine.call", "import grpc"),
        ("server.engine.call", "from google.protobuf import struct_pb2"),
        ("server.engine.call", "from dramatiq import Broker"),
        ("server.rpc.status", "from server.web.pages import page"),
        ("server.rpc.status", "from server.app import App"),
        ("server.rpc.status", "from cabrank import Client"),
        ("server.catalog.task", "from server.settings import Settings"),
        ("workers.broker", "from server.rpc import status"),
        ("cabrank.client", "from server.engine.job import Job"),
        ("server.app", "from server.dev import stack"),
        ("server.dev.stack", "from server.app import App"),
        ("server.engine.call", "from server.helpers import thing"),
        ("server.helpers", ""),
    ],
)
def test_an_import_that_runs_elsewhere_is_found(module: str, text: str) -> None:
    assert len(violations(module, text)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("server.__main__", "from server.app import main"),
        ("server.app", "from server import rpc, web\nfrom server.engine.engine import Engine"),
        ("server.dev.stack", "from server.settings import Settings\nfrom cabrank.v1 import email_pb2"),
        (
            "server.rpc.status",
            "from server.engine.errors import NotFound\nfrom cabrank.v1 import error_pb2\nimport grpc",
        ),
        ("workers.broker", "from server import engine\nfrom server.catalog import Catalog\nimport dramatiq"),
        ("cabrank.client", "from cabrank.v1 import queue_pb2\nfrom . import errors"),
        ("server.engine.call", "from server.engine import script\nfrom . import record\nimport redis\nimport json"),
    ],
)
def test_an_import_that_runs_down_is_not(module: str, text: str) -> None:
    assert violations(module, text) == []
