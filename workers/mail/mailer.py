"""Sends one mail: rendered, composed, handed to the SMTP server. What the actors call."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from workers.mail.address import Address, Mailbox
from workers.mail.mails import Mail
from workers.mail.message import compose, message_id_for
from workers.mail.pool import Pool
from workers.mail.rendering import Templates
from workers.mail.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The server took the mail."""

    message_id: str
    reply: Reply


def _now() -> datetime:
    return datetime.now(UTC)


class Mailer:
    """Templates, a sender and a way to the server. Lives on one event loop, like its pool."""

    def __init__(
        self, *, templates: Templates, sender: Mailbox, pool: Pool, now: Callable[[], datetime] = _now
    ) -> None:
        self._templates = templates
        self._sender = sender
        self._pool = pool
        self._now = now

    async def send(self, mail: Mail, *, to: str, queue: str, job_id: str) -> Receipt:
        """Returns once the server has taken the mail. Every attempt of a job sends the same Message-ID.

        Raises MailError; `errors.py` draws what each of its kinds asks of the job.
        """
        message = compose(
            self._templates.render(mail),
            sender=self._sender,
            to=Address.parse(to, field="the recipient's address"),
            message_id=message_id_for(queue=queue, job_id=job_id, domain=self._sender.address.domain),
            date=self._now(),
        )
        reply = await self._pool.deliver(message)
        return Receipt(message_id=message.message_id, reply=reply)

    async def close(self) -> None:
        """Waits for the mails under way and closes the connections."""
        await self._pool.close()
