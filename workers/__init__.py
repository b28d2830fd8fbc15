"""What `dramatiq workers` runs. The one package in which importing does something: Dramatiq wants its broker first and
its actors then.

    dramatiq workers -p 2 -t 16
"""

import logging
import os
import sys

import dramatiq

from server import logs
from server.catalog import Catalog, CatalogError
from server.engine.errors import InvalidValue
from server.settings import Settings, SettingsError
from workers.actor import declare
from workers.broker import Broker
from workers.mail.errors import MailError
from workers.services import ClosesServices, install

_HANDLERS = ("workers.actors.email",)

try:
    settings = Settings.from_environment(os.environ)
    logs.configure(level=settings.log_level, format=settings.log_format)
    # Each end of an attempt is told once, with its job (workers.shift).
    logging.getLogger("dramatiq.worker.WorkerThread").setLevel(logging.ERROR)
    services = install(settings)
    # First the broker is known, then modules with tasks are imported: they may declare plain Dramatiq actors as well.
    broker = Broker(settings, Catalog.load(), middleware=[ClosesServices(services)])
    dramatiq.set_broker(broker)
    broker.catalog = Catalog.load((*_HANDLERS, *settings.task_modules), queues=settings.queues)
    for queue in broker.catalog.queues:
        broker.declare_queue(queue)
    for handler in broker.catalog.handlers.values():
        declare(broker, handler)
except (SettingsError, CatalogError, InvalidValue, MailError) as error:
    print(f"cabrank: {error}", file=sys.stderr)
    raise SystemExit(2) from None
