"""Where the engine's Redis is, and connections to it: single node, Sentinel or Cluster, blocking or asyncio.

Clients are made without retries of their own: whether a call may be sent again is known here and not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from server.engine.errors import InvalidValue

_DEFAULT_PORT = 6379
_SENTINEL_PORT = 26379
Client = Any  # redis-py's clients share their commands, but no type


class Kind(Enum):
    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The parsed form of a Redis URL.

    redis://, rediss:// (TLS), unix:///path, redis+sentinel://host:port,host:port/service and
    redis+cluster://host:port,host:port; user, password and, but for a cluster, the database as usual.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    service: str | None = None
    database: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> Store:
        """Raises InvalidValue, without repeating the URL: it may hold a password."""
        scheme, _, _ = url.partition("://")
        kinds = {
            "redis": Kind.SINGLE,
            "rediss": Kind.SINGLE,
            "unix": Kind.SINGLE,
            "redis+sentinel": Kind.SENTINEL,
            "redis+cluster": Kind.CLUSTER,
        }
        if scheme not in kinds:
            raise InvalidValue("REDIS_URL", f"must begin with one of {', '.join(f'{name}://' for name in kinds)}")
        parts = _split(url)
        credentials, _, location = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        shared: dict[str, Any] = {
            "user": unquote(user) or None,
            "password": unquote(password) or None,
            "tls": scheme == "rediss",
        }
        database = parse_qs(parts.query).get("db", ["0"])[0]
        if scheme == "unix":
            return cls(kind=Kind.SINGLE, path=unquote(parts.path), database=_number(database), **shared)
        service, _, path_database = parts.path.strip("/").partition("/")
        if kinds[scheme] is Kind.SINGLE:
            service, path_database = "", service
        return cls(
            kind=kinds[scheme],
            hosts=_hosts(location, _SENTINEL_PORT if kinds[scheme] is Kind.SENTINEL else _DEFAULT_PORT),
            service=service or None,
            database=_number(path_database or database),
            **shared,
        )

    def __post_init__(self) -> None:
        if self.kind is Kind.SENTINEL and not self.service:
            raise InvalidValue(
                "REDIS_URL", "must name the service behind its sentinels: redis+sentinel://host:port/service"
            )

    def connect(self, *, timeout: float, connections: int = 32) -> Client:
        """A blocking client. `timeout` (s) bounds every reply."""
        options = self._options(timeout)
        if self.kind is Kind.CLUSTER:
            nodes = [redis.cluster.ClusterNode(host, port) for host, port in self.hosts]  # type: ignore[no-untyped-call]
            # A slot that moved is followed all the same.
            return redis.cluster.RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 0), **options)
        options |= {"retry": Retry(NoBackoff(), 0), "db": self.database}
        if self.kind is Kind.SENTINEL:
            sentinels: Any = redis.sentinel.Sentinel(list(self.hosts), socket_timeout=timeout)  # type: ignore[no-untyped-call]
            return sentinels.master_for(self.service, **options)
        pool: Any = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
            max_connections=connections, timeout=timeout, **self._single(options)
        )
        return redis.Redis.from_pool(pool)

    def connect_async(self, *, timeout: float, connections: int = 64) -> Client:
        """An asyncio client, for the loop that uses it first."""
        options = self._options(timeout)
        if self.kind is Kind.CLUSTER:
            nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in self.hosts]
            return redis.asyncio.cluster.RedisCluster(startup_nodes=nodes, retry=AsyncRetry(NoBackoff(), 0), **options)
        options |= {"retry": AsyncRetry(NoBackoff(), 0), "db": self.database}
        if self.kind is Kind.SENTINEL:
            sentinels: Any = redis.asyncio.sentinel.Sentinel(list(self.hosts), socket_timeout=timeout)  # type: ignore[no-untyped-call]
            return sentinels.master_for(self.service, **options)
        pool = redis.asyncio.BlockingConnectionPool(
            max_connections=connections, timeout=timeout, **self._single(options, asynchronous=True)
        )
        return redis.asyncio.Redis.from_pool(pool)

    def _options(self, timeout: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "username": self.user,
            "password": self.password,
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, 5.0),
            "socket_keepalive": True,
            "protocol": 2,
        }
        if self.path:
            del options["socket_connect_timeout"], options["socket_keepalive"]
        return options

    def _single(self, options: dict[str, Any], *, asynchronous: bool = False) -> dict[str, Any]:
        flavour: Any = redis.asyncio if asynchronous else redis
        if self.path:
            return options | {"connection_class": flavour.UnixDomainSocketConnection, "path": self.path}
        kind = flavour.SSLConnection if self.tls else flavour.Connection
        host, port = self.hosts[0]
        return options | {"connection_class": kind, "host": host, "port": port}


def _hosts(location: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for part in location.split(",") if location else ["localhost"]:
        address = _split(f"//{part}")
        try:
            hosts.append((address.hostname or "localhost", address.port or default_port))
        except ValueError:
            raise InvalidValue("REDIS_URL", "must give ports as numbers up to 65535") from None
    return tuple(hosts)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # What it says may repeat the password.
        raise InvalidValue("REDIS_URL", "must be a URL; a password in it must be percent-encoded") from None


def _number(text: str) -> int:
    if not text.isdecimal():
        raise InvalidValue("REDIS_URL", "must give the database as a number")
    return int(text)
