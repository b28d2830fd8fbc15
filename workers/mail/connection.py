"""One SMTP conversation: opened, encrypted, logged in, then one mail after another."""

import ssl
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Self

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from workers.mail.errors import Deferred, Phase, Rejected, Unreachable
from workers.mail.line import flattened
from workers.mail.message import Message
from workers.mail.outcome import refusal, silence
from workers.mail.reply import Reply

_FAREWELL_SECONDS = 2.0


class Encryption(StrEnum):
    """When the conversation becomes secret. Certificates are verified in each case."""

    AUTO = "auto"  # STARTTLS where the server offers it
    STARTTLS = "starttls"  # STARTTLS, or no conversation
    TLS = "tls"  # from the first byte
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over, and as whom.

    `ca_file` (PEM) takes the place of the system's authorities. `hello` is our name in EHLO, by default the
    address that the server sees us at. No `user`, no login. An answer to DATA may take longer than others:
    some servers look into the mail before they take it.
    """

    host: str
    port: int
    encryption: Encryption = Encryption.AUTO
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    hello: str = ""
    connect_timeout: timedelta = timedelta(seconds=10)
    answer_timeout: timedelta = timedelta(seconds=30)
    content_timeout: timedelta = timedelta(seconds=120)

    def __post_init__(self) -> None:
        # A plain word, as settings hold it, would be like no member: nothing would be encrypted.
        object.__setattr__(self, "encryption", Encryption(self.encryption))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password in the forms that cross the wire."""
        if not self.password:
            return ()
        plain = f"\0{self.user}\0{self.password}"
        return (self.password, *(b64encode(text.encode()).decode() for text in (self.password, plain)))


class Connection:
    """One conversation, for one task at a time. `delivered` counts the mails that were taken."""

    def __init__(self, client: SMTP, server: SmtpServer) -> None:
        self._client = client
        self._server = server
        self._ready = True
        self.delivered = 0

    @classmethod
    async def open(cls, server: SmtpServer, *, trust: ssl.SSLContext) -> Self:
        """Raises Unreachable."""
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.encryption is Encryption.TLS,
            start_tls=False,
            tls_context=trust,
            timeout=server.answer_timeout.total_seconds(),
            local_hostname="localhost",  # never said, see `_hello`; without it DNS would be asked for a name
        )
        connection = cls(client, server)
        try:
            await connection._begin()
        except BaseException:
            connection.abort()
            raise
        return connection

    @property
    def ready(self) -> bool:
        """Whether the next mail may follow."""
        return self._ready and self._client.is_connected

    async def deliver(self, message: Message) -> Reply:
        """Raises DeliveryError. After a mail that was cut off, by cancellation too, the connection is not
        `ready`: what the server says next would belong to that mail."""
        self._ready = False
        try:
            reply = await self._transaction(message)
        except (Deferred, Rejected):
            self._ready = await self._reset()
            raise
        self._ready = True
        self.delivered += 1
        return reply

    async def quit(self) -> None:
        """Takes leave; a server that does not answer soon is left without."""
        try:
            with suppress(SMTPException, OSError):
                await self._client.quit(timeout=_FAREWELL_SECONDS)
        finally:
            self.abort()

    def abort(self) -> None:
        self._client.close()

    async def _begin(self) -> None:
        with _during(Phase.CONNECT):
            await self._client.connect(timeout=self._server.connect_timeout.total_seconds())
        await self._hello()
        if self._wants_starttls():
            with _during(Phase.ENCRYPT):
                await self._client.starttls()
            await self._hello()
        if self._server.user:
            await self._login()

    async def _hello(self) -> None:
        with _during(Phase.HELLO):
            await self._client.ehlo(hostname=self._server.hello or self._own_address())

    def _own_address(self) -> str:
        """An address literal, the name of a client that has no other (RFC 5321, section 4.1.4)."""
        own: str = self._client.get_transport_info("sockname")[0].partition("%")[0]
        return f"[IPv6:{own}]" if ":" in own else f"[{own}]"

    def _wants_starttls(self) -> bool:
        encryption = self._server.encryption
        offered = self._client.supports_extension("starttls")
        return encryption is Encryption.STARTTLS or (encryption is Encryption.AUTO and offered)

    async def _login(self) -> None:
        with _during(Phase.LOGIN, secrets=self._server.secrets):
            encrypted = self._client.get_transport_info("sslcontext") is not None
            if not encrypted and self._server.encryption is not Encryption.NONE:
                raise Unreachable(Phase.LOGIN, "AUTH: the password is not sent without encryption, and none is offered")
            await self._client.login(self._server.user, self._server.password)

    async def _transaction(self, message: Message) -> Reply:
        options, encoding = [], "ascii"
        if message.needs_utf8:
            options, encoding = ["SMTPUTF8", "BODY=8BITMIME"], "utf-8"
            self._require_utf8()
        with _during(Phase.SENDER):
            await self._client.mail(str(message.sender), options=options, encoding=encoding)
        with _during(Phase.RECIPIENT):
            await self._client.rcpt(str(message.recipient), encoding=encoding)
        with _during(Phase.CONTENT):
            timeout = self._server.content_timeout.total_seconds()
            return Reply.read(*await self._client.data(message.content, timeout=timeout))

    def _require_utf8(self) -> None:
        if not self._client.supports_extension("smtputf8"):
            raise Rejected(Phase.RECIPIENT, "RCPT: it takes no address beyond ASCII (SMTPUTF8)")

    async def _reset(self) -> bool:
        with suppress(SMTPException, OSError):
            await self._client.rset()
            return True
        return False


@contextmanager
def _during(phase: Phase, *, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Turns what breaks a conversation into what it means for the mail.

    `from None`: the original holds the server's words as they came, and tracebacks are kept with the job.
    """
    try:
        yield
    except SMTPResponseException as answer:
        raise refusal(phase, Reply.read(answer.code, answer.message, secrets=secrets)) from None
    except (SMTPException, OSError) as fault:
        raise silence(phase, flattened(str(fault))) from None
