"""server/engine/README.md describes what is."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import redis

from server.engine import call as engine_call
from server.engine import script
from server.engine.engine import Engine
from server.engine.job import JobState
from tests.conftest import Clock
from tests.engine.hands import Worker, put, retried
from tests.engine.snapshot import TYPES, Snapshot

README = (Path(engine_call.__file__).parent / "README.md").read_text()


def test_its_table_of_files_has_every_file() -> None:
    table = README.split("## The life of a job")[0]

    assert sorted(re.findall(r"`([a-z_]+\.py)`", table)) == sorted(
        path.name for path in Path(engine_call.__file__).parent.glob("*.py") if path.name != "__init__.py"
    )


def test_its_table_of_keys_is_that_of_the_headers() -> None:
    table = dict(re.findall(r"^\| `([a-z_]+)` \| (HASH|ZSET|STREAM) \|", README, re.MULTILINE))

    assert table == TYPES


def test_its_drawing_has_every_state_and_every_transition() -> None:
    drawing = README.split("## The life of a job")[1].split("## The keys")[0]

    for word in [*script.names(), *(state.value for state in JobState)]:
        assert re.search(rf"\b{word}\b", drawing), word


def test_its_forms_are_those_in_redis(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    block = README.split("The forms, for job `a` in its second attempt:\n\n```\n")[1].split("\n```")[0]
    forms: dict[str, str] = {}
    for line in block.splitlines():
        name, text = line[:10].strip(), line[10:]
        if not name:
            name, text = list(forms)[-1], f"{list(forms.values())[-1]}\n{text}"
        forms[name] = text

    put(engine, "a")
    first = worker.take_one()
    clock.advance(seconds=3)
    engine.run(retried(first, delay=timedelta(seconds=2)))
    clock.advance(seconds=2)
    worker.take_one()

    found = Snapshot.take(raw)
    assert forms == {name: found[name]["a"] for name in ("jobs", "leases", "spent", "attempts")}
