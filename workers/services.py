"""What the handlers of one worker process share: the mailer and the way to the platform.

Connections are made at first use, on the event loop that runs async handlers, so that nothing is open before the
process has forked. What can be wrong without them, templates and addresses, is read before, and stops the start.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property

import dramatiq
import grpc.aio
from cabrank.platform.v1.platform_pb2_grpc import PlatformServiceStub
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware

from server.catalog import Snooze
from server.settings import Settings
from workers.mail.address import Mailbox
from workers.mail.brand import Brand
from workers.mail.connection import Encryption, SmtpServer
from workers.mail.mailer import Mailer
from workers.mail.pool import Pool
from workers.mail.rendering import Templates
from workers.platform import Platform

_FAREWELL_SECONDS = 1.0


class Services:
    """For coroutines on the loop. What is not configured makes a job wait: it is for an operator to mend, and not the
    job's fault."""

    def __init__(self, settings: Settings) -> None:
        """Raises MailError for a template that does not compile, and for a sender or a brand that no mail can carry."""
        self._settings = settings
        self._templates = Templates(brand=_brand(settings), overrides=settings.template_dir)
        self._sender = Mailbox.parse(settings.smtp.sender, field="SMTP_FROM")

    @cached_property
    def mailer(self) -> Mailer:
        """Raises Snooze where no SMTP server is configured."""
        smtp = self._settings.smtp
        if smtp.host is None:
            raise Snooze(reason="no SMTP server is configured: set SMTP_HOST")
        server = SmtpServer(
            host=smtp.host,
            port=smtp.port,
            encryption=Encryption(smtp.tls),
            user=smtp.user or "",
            password=smtp.password,
            answer_timeout=smtp.timeout,
        )
        return Mailer(templates=self._templates, sender=self._sender, pool=Pool(server, size=smtp.connections))

    @cached_property
    def platform(self) -> Platform:
        """Raises Snooze where no platform is configured."""
        if self._settings.platform_address is None:
            raise Snooze(reason="no platform is configured: set CABRANK_PLATFORM_ADDRESS")
        return Platform(PlatformServiceStub(self._channel))

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(str(self._settings.platform_address))

    async def close(self) -> None:
        """What was opened; a mail that is still under way is waited for, though not for long. It may be used again."""
        opened = vars(self)
        opened.pop("platform", None)
        mailer, channel = opened.pop("mailer", None), opened.pop("_channel", None)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                if mailer is not None:
                    await mailer.close()
        if channel is not None:
            await channel.close()


_installed: list[Services] = []


def install(settings: Settings) -> Services:
    """The services of this process from here on. Raises as `Services`."""
    _installed[:] = [Services(settings)]
    return services()


def services() -> Services:
    """Those that were installed. Raises LookupError before that."""
    if not _installed:
        raise LookupError("no services are installed: import workers first")
    return _installed[0]


class ClosesServices(Middleware):
    """Stands after EventLoop, so that it comes before it when the worker has stopped: closing needs the loop."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        if (thread := get_event_loop_thread()) is not None:
            thread.run_coroutine(self._services.close())


def _brand(settings: Settings) -> Brand:
    brand = settings.brand
    support = Mailbox.parse(brand.support_address, field="CABRANK_SUPPORT_ADDRESS") if brand.support_address else None
    return Brand(name=brand.name, support=support, link_base=brand.link_base or "")
