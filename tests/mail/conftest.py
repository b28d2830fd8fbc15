"""A server to talk to, a way to it, and a mail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from tests.mail.sink import Sink
from workers.mail.address import Address
from workers.mail.connection import SmtpServer
from workers.mail.message import Message
from workers.mail.pool import Pool

# Long enough for a busy machine; tests of timeouts set shorter ones.
_PATIENCE = timedelta(seconds=20)

OpenPool = Callable[..., Pool]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink().listening() as sink:
        yield sink


@pytest.fixture
async def open_pool() -> AsyncIterator[OpenPool]:
    """Makes pools, which are closed with the test. Options of the server and of the pool are told apart by name."""
    async with AsyncExitStack() as closing:

        def make(
            sink: Sink, *, size: int = 4, max_idle: timedelta = _PATIENCE, max_mails: int = 100, **server: Any
        ) -> Pool:
            patient = {"answer_timeout": _PATIENCE, "connect_timeout": _PATIENCE, "content_timeout": _PATIENCE}
            there = SmtpServer(**{"host": "127.0.0.1", "port": sink.port, **patient, **server})
            pool = Pool(there, size=size, max_idle=max_idle, max_mails=max_mails)
            closing.push_async_callback(pool.close)
            return pool

        yield make


@pytest.fixture
def message() -> Message:
    return message_to("ada@example.org")


def login(word: str) -> dict[str, str]:
    return {"user": "ada", "password": word}


def message_to(recipient: str) -> Message:
    return Message(
        message_id="<1@example.org>",
        sender=Address(local_part="no-reply", domain="example.org"),
        recipient=Address.parse(recipient, field="recipient"),
        content=b"Subject: hello\r\n\r\n.a line that begins with a dot\r\n",
    )
