"""Every key that a script touches is declared: an undeclared one would be lost in the move of a slot."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from server.engine import script
from server.engine.call import Call, keys_of
from server.engine.engine import Engine
from server.engine.script import Script, Source
from tests.conftest import Clock
from tests.engine.guard import guarded
from tests.engine.hands import QUEUE, Worker, contents
from tests.engine.headers import FOLDER, code_of, declared_keys, header_of, includes_of, text_of
from tests.engine.transitions import TRANSITIONS


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_script_touches_declared_keys_only(engine: Engine, clock: Clock, worker: Worker, name: str) -> None:
    engine.run(guarded(TRANSITIONS[name](engine, clock, worker)))


@pytest.mark.parametrize("command", ["'HGET', KEYS[1] .. 'x', 'y'", "'KEYS', '*'"])
def test_the_guard_sees_what_it_shall_see(engine: Engine, command: str) -> None:
    body = f"return redis.call({command})"
    call: Call[Any] = Call(
        script=Script(name="bad", keys=("jobs",), flagged=Source.of(f"#!lua\n{body}"), plain=Source.of(body)),
        keys=keys_of(QUEUE, ["jobs"]),
        arguments=[],
        read=lambda reply: reply,
    )

    with pytest.raises(ResponseError, match=r"an undeclared key|that the guard does not know"):
        engine.run(guarded(call))


@pytest.mark.parametrize("name", script.names())
def test_keys_are_named_and_never_put_together(name: str) -> None:
    """Read, not run: so it holds on every path. A key is `key.jobs`, or `key[state]` for a state that is at hand, which
    page calls `set`.
    """
    first_arguments = re.findall(r"redis\.call\(\s*'[A-Z]+'\s*(?:,\s*([^,()]+(?:\[[^\]]*\])?))?", code_of(name))

    assert first_arguments
    named = {match[1] for argument in first_arguments if (match := re.fullmatch(r"key\.([a-z_]+)", argument.strip()))}
    others = {argument.strip() for argument in first_arguments} - {f"key.{key}" for key in named}
    assert named <= declared_keys(name).keys()
    assert others <= {"", "key[state]", "key[name]", "set"}


@pytest.mark.parametrize("name", script.names())
def test_no_key_is_declared_in_vain(name: str) -> None:
    code = code_of(name)

    for key in declared_keys(name):
        # page is asked for one of them by name.
        assert f"key.{key}" in code or f"'{key}'" in code or name == "page", key


@pytest.mark.parametrize("name", script.names())
def test_a_header_says_all_that_one_must_know(name: str) -> None:
    header = "\n".join(header_of(name))

    assert header.startswith(f"-- {name}: ")
    assert re.search(r"^-- ARGV     now", header, re.MULTILINE)
    assert re.search(r"^-- Returns  \S", header, re.MULTILINE)
    assert re.search(
        r"^-- Memory   ((refused|allowed) when it is full|not needed: it only looks)$", header, re.MULTILINE
    )
    assert declared_keys(name)


@pytest.mark.parametrize("name", script.names())
def test_a_header_is_what_is_run(name: str) -> None:
    assert script.load(name).keys == tuple(declared_keys(name))


@pytest.mark.parametrize("name", script.names())
def test_an_include_is_named_once_and_used(name: str) -> None:
    parts = includes_of(name)
    assert len(parts) == len(set(parts))
    for part in parts:
        functions = re.findall(r"^local function ([a-z_]+)", (FOLDER / "include" / f"{part}.lua").read_text(), re.M)
        assert any(len(re.findall(rf"\b{function}\(", code_of(name))) > 1 for function in functions), part


def test_every_include_is_used_by_some_script() -> None:
    used = {part for name in script.names() for part in includes_of(name)}

    assert used == {path.stem for path in (FOLDER / "include").glob("*.lua")}


def test_a_key_has_one_type_in_all_headers_and_in_redis(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    types: dict[str, set[str]] = {}
    for name in script.names():
        for key, kind in declared_keys(name).items():
            types.setdefault(key, set()).add(kind)
    assert all(len(kinds) == 1 for kinds in types.values())

    seen = set()
    for prepare in TRANSITIONS.values():
        raw.flushall()
        engine.run(prepare(engine, clock, worker))
        for full in contents(raw):
            key = full.rpartition(":")[2]
            seen.add(key)
            assert {str(raw.type(full), "ascii").upper()} == types[key]  # type: ignore[arg-type]
    assert seen == types.keys()


@pytest.mark.parametrize("queue", ["email", "a.b-c_d", "x" * 100])
def test_all_keys_of_a_queue_share_one_slot(queue: str) -> None:
    names = {key for name in script.names() for key in declared_keys(name)}

    assert len({key_slot(key.encode()) for key in keys_of(queue, sorted(names))}) == 1


def test_queues_are_spread_over_the_slots() -> None:
    queues = ("email", "sync", "payment", "enrollment", "notification", "cleanup")

    assert len({key_slot(keys_of(queue, ["jobs"])[0].encode()) for queue in queues}) == 6


# What a script reads before it decides. Types are wrong only where somebody wrote to our keys by hand; a key that is
# only written, and first of all in the midst of a change, is found out when it is too late, for Lua has no way back.
DECIDING = {
    "enqueue": ["jobs", "claims", "waiting", "delayed"],
    "reserve": ["reservations"],
    "extend": ["leases"],
    "note": ["leases"],
    "complete": ["leases"],
    "retry": ["leases", "spent"],
    "fail": ["leases", "spent"],
    "snooze": ["leases", "spent"],
    "release": ["leases"],
    "stop": ["leases"],
    "cancel": ["jobs", "completed", "failed", "cancelled", "active", "waiting"],
    "reclaim": ["meta"],
    "promote": ["expiring", "delayed", "jobs"],
    "revive": ["jobs", "spent", "failed", "claims"],
    "remove": ["waiting", "jobs"],
    "hasten": ["waiting", "delayed", "jobs"],
}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in DECIDING.items() for key in keys])
def test_a_script_that_cannot_read_what_it_decides_by_changes_nothing(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis, name: str, key: str
) -> None:
    call = TRANSITIONS[name](engine, clock, worker)
    (full,) = keys_of(QUEUE, [key])
    raw.delete(full)
    raw.set(full, "what a hand wrote")
    before = _all_but(raw, full)

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        engine.run(call)

    assert _all_but(raw, full) == before


def _all_but(raw: redis.Redis, key: str) -> dict[bytes, bytes | None]:
    return {name: raw.dump(name) for name in raw.scan_iter() if name != key.encode()}


REFUSED_WHEN_FULL = {"enqueue", "note", "revive"}
LOOKING = {"changes", "crew", "get", "page", "standing", "states", "stats", "unstarted"}


@pytest.mark.parametrize("name", sorted(REFUSED_WHEN_FULL))
def test_what_is_refused_when_memory_is_full_admits_or_only_tells(name: str) -> None:
    assert "-- Memory   refused when it is full" in text_of(name)
    assert script.load(name).flagged.text.startswith("#!lua\n")


@pytest.mark.parametrize("name", sorted(LOOKING))
def test_what_only_looks_is_kept_to_it_by_the_server(name: str) -> None:
    assert script.load(name).flagged.text.startswith("#!lua flags=no-writes\n")


@pytest.mark.parametrize("name", sorted(set(script.names()) - REFUSED_WHEN_FULL - LOOKING))
def test_all_else_goes_on_when_memory_is_full(name: str) -> None:
    assert script.load(name).flagged.text.startswith("#!lua flags=allow-oom\n")
