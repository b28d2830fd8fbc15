"""An SMTP server to talk to: aiosmtpd, told what to answer at which step of the conversation."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session

T = TypeVar("T")

CERTIFICATE = Path(__file__).parent / "localhost.pem"

# Instead of an answer.
HANG_UP = "hang up"
SILENCE = "silence"


class Sink:
    """Keeps what it is sent. Steps: connect, EHLO, AUTH, MAIL, RCPT, DATA (before the content), content, RSET, QUIT."""

    def __init__(self, *, port: int = 0, **options: Any) -> None:
        self.port = port
        self.mails: list[Envelope] = []
        self.names: list[str] = []
        self.connections = 0
        self.most_at_once = 0
        self.leave_taken = 0
        self.logins: list[tuple[bytes, bytes]] = []
        self._options = options
        self._open: set[_Conversation] = set()
        self._answers: dict[str, Iterator[str]] = {}
        self._reached: set[str] = set()

    @property
    def open(self) -> int:
        return len(self._open)

    def always(self, step: str, answer: str) -> None:
        self._answers[step] = repeat(answer)

    def once(self, step: str, answer: str) -> None:
        self._answers[step] = iter([answer])

    def hang_up(self) -> None:
        """Drops every connection, as a server does that waited long enough."""
        for conversation in list(self._open):
            conversation.drop()

    @asynccontextmanager
    async def listening(self, *, implicit_tls: bool = False) -> AsyncIterator[Sink]:
        loop = asyncio.get_running_loop()
        trusted = server_side_tls() if implicit_tls else None
        server = await loop.create_server(lambda: _Conversation(self), "127.0.0.1", self.port, ssl=trusted)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await until(lambda: not self._open)
            await server.wait_closed()

    def at(self, step: str) -> bool:
        """Whether any conversation has come to this step."""
        return step in self._reached

    def answer(self, step: str) -> str | None:
        self._reached.add(step)
        return next(self._answers.get(step, iter([])), None)

    def joined(self, conversation: _Conversation) -> None:
        self.connections += 1
        self._open.add(conversation)
        self.most_at_once = max(self.most_at_once, self.open)

    def left(self, conversation: _Conversation) -> None:
        self._open.discard(conversation)

    def authenticate(self, _smtp: SMTP, _session: Session, _envelope: Envelope, _how: str, who: Any) -> AuthResult:
        assert isinstance(who, LoginPassword)
        self.logins.append((who.login, who.password))
        # Not "handled": aiosmtpd would leave the client without an answer.
        return AuthResult(success=who.password == b"right", handled=False)

    # The names of these are aiosmtpd's.

    async def handle_EHLO(  # noqa: N802
        self, smtp: _Conversation, session: Session, _envelope: Envelope, name: str, answers: list[str]
    ) -> list[str]:
        session.host_name = name
        self.names.append(name)
        answer = await smtp.scripted("EHLO", None)
        return [answer] if answer else answers

    async def handle_AUTH(self, smtp: _Conversation, *_: Any) -> Any:  # noqa: N802
        return await smtp.scripted("AUTH", MISSING)

    async def handle_MAIL(  # noqa: N802
        self, smtp: _Conversation, _session: Session, envelope: Envelope, sender: str, options: list[str]
    ) -> str:
        envelope.mail_from = sender
        envelope.mail_options.extend(options)
        return await smtp.scripted("MAIL", "250 2.1.0 go on")

    async def handle_RCPT(  # noqa: N802
        self, smtp: _Conversation, _session: Session, envelope: Envelope, recipient: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(recipient)
        return await smtp.scripted("RCPT", "250 2.1.5 go on")

    async def handle_DATA(self, smtp: _Conversation, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await smtp.scripted("content", "250 2.0.0 kept as 1")
        if answer.startswith("2"):
            self.mails.append(envelope)
        return answer

    async def handle_RSET(self, smtp: _Conversation, *_: Any) -> str:  # noqa: N802
        return await smtp.scripted("RSET", "250 2.0.0 clean")

    async def handle_QUIT(self, smtp: _Conversation, *_: Any) -> str:  # noqa: N802
        self.leave_taken += 1
        return await smtp.scripted("QUIT", "221 2.0.0 farewell")


class _Conversation(SMTP):
    def __init__(self, sink: Sink) -> None:
        # With a name of its own: by default DNS would be asked for one.
        super().__init__(sink, hostname="sink.test", authenticator=sink.authenticate, **sink._options)
        self._sink = sink
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._tls_protocol is None:
            self._sink.joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._sink.left(self)
        super().connection_lost(error)

    def drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined]  # aiosmtpd declares the base class

    async def push(self, status: Any) -> None:
        if not self._greeted:
            self._greeted = True
            status = await self.scripted("connect", status)
        await super().push(status)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if refusal := await self.scripted("DATA", None):
            await self.push(refusal)
        else:
            await super().smtp_DATA(arg)

    async def scripted(self, step: str, default: T) -> T | str:
        answer = self._sink.answer(step)
        if answer == HANG_UP:
            self.drop()
        if answer in (HANG_UP, SILENCE):
            await asyncio.Event().wait()  # until the connection is gone, which cancels this
        return answer or default


def server_side_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


async def until(condition: Callable[[], bool], *, deadline: float = 10) -> None:
    """Waits until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 -- what is waited for raises no event
            await asyncio.sleep(0.002)
