"""Where Redis is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from server.settings import text
from server.settings.declaration import declared
from server.settings.values import Address

_URL = re.compile(r"(?:rediss?|redis\+sentinel|redis\+cluster|unix)://\S+")


def _url(url: str) -> str:
    """Only the scheme is looked at here; the engine takes the URL apart."""
    if not _URL.fullmatch(url):
        raise ValueError("must be a URL with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    return url


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """Where Redis is, if any is configured. A URL goes before host and port."""

    enabled: bool = declared("REDIS_ENABLED", text.flag, "true", "false: no Redis, whatever else is set")
    given_url: str | None = declared(
        "REDIS_URL",
        text.optional(_url),
        "",
        "redis://host:6379/0, rediss://…, unix:///path, redis+sentinel://host:26379,host:26379/service"
        " or redis+cluster://host:6379,host:6379",
        secret=True,
    )
    host: str | None = declared("REDIS_HOST", text.optional(text.host), "", "the host, where there is no REDIS_URL")
    port: int = declared("REDIS_PORT", text.port, "6379", "the port at REDIS_HOST")
    password: str = declared("REDIS_PASSWORD", str, "", "the password, unless REDIS_URL holds one", secret=True)

    @property
    def url(self) -> str | None:
        """All of it as one URL, with the password; None when no Redis is configured."""
        if not self.enabled:
            return None
        if self.given_url:
            return _with_password(self.given_url, self.password)
        if self.host:
            return _with_password(f"redis://{Address(host=self.host, port=self.port)}", self.password)
        return None


def _with_password(url: str, password: str) -> str:
    """The URL with the password in it, unless there is none or the URL holds its own."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, _, hosts = authority.rpartition("@")
    if not password or ":" in user:
        return url
    return f"{scheme}://{user}:{quote(password, safe='')}@{hosts}{slash}{path}"
