"""Where the engine's Redis is, read from a URL."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from server.dev.valkey import EmbeddedServer
from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.store import Kind, Store
from tests.engine.hands import put

HERE = (("localhost", 6379),)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {"hosts": HERE}),
        ("redis://example.org", {"hosts": (("example.org", 6379),)}),
        ("redis://example.org:6380/3", {"hosts": (("example.org", 6380),), "database": 3}),
        ("redis://example.org?db=3", {"hosts": (("example.org", 6379),), "database": 3}),
        ("redis://[::1]:6380", {"hosts": (("::1", 6380),)}),
        ("redis://:word@localhost", {"hosts": HERE, "password": "word"}),
        ("redis://ada:a%40b%3A%2F@localhost", {"hosts": HERE, "user": "ada", "password": "a@b:/"}),
        ("rediss://localhost", {"hosts": HERE, "tls": True}),
        ("unix:///run/redis/redis.sock", {"path": "/run/redis/redis.sock"}),
        ("unix://:word@/run/a%20b.sock?db=2", {"path": "/run/a b.sock", "password": "word", "database": 2}),
        (
            "redis+sentinel://:word@a:1,b/main/2",
            {
                "kind": Kind.SENTINEL,
                "hosts": (("a", 1), ("b", 26379)),
                "service": "main",
                "database": 2,
                "password": "word",
            },
        ),
        ("redis+cluster://a:1,b:2", {"kind": Kind.CLUSTER, "hosts": (("a", 1), ("b", 2))}),
    ],
)
def test_a_url_says_where_and_how(url: str, expected: dict[str, Any]) -> None:
    assert Store.parse(url) == Store(**{"kind": Kind.SINGLE, **expected})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "http://example.org",
        "redis://:secret-word@localhost:port",
        "redis://:secret-word@localhost:70000",
        "redis://:secret-word@localhost/first",
        "redis://:secret-word@localhost/-1",
        "redis://:secret[word@localhost",
        "redis://:secret-word@[localhost",
        "redis://:secret-word℀@localhost",
        "redis+sentinel://:secret-word@localhost",
        "redis+cluster://:secret-word@a,[b",
    ],
)
def test_a_url_that_says_nothing_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        Store.parse(url)

    assert refusal.value.field == "REDIS_URL"
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Store.parse("redis://:secret-word@localhost"))


def test_a_database_is_used(valkey: EmbeddedServer) -> None:
    store = Store.parse(f"{valkey.url}?db=3")
    with Engine(store) as engine:
        put(engine, "a")

    assert store.path is not None
    with redis.Redis(unix_socket_path=store.path, db=3) as raw:
        assert raw.dbsize() > 0
    with redis.Redis(unix_socket_path=store.path) as raw:
        assert raw.dbsize() == 0
