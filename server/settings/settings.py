"""Every setting of the service, read once from the environment."""
# ruff: noqa: RUF009 -- declared() answers with a dataclass field, as dataclasses.field() does

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from server.settings import text
from server.settings.declaration import Setting, declared, group, settings_of
from server.settings.environment import Environment
from server.settings.mail import BrandSettings, SmtpSettings
from server.settings.queues import (
    BUILT_IN_CONCURRENCY,
    USUAL_CONCURRENCY,
    JobSettings,
    QueueSettings,
    QueueVariables,
    is_about_a_queue,
    queues_named_in,
    spelling,
)
from server.settings.redis import RedisSettings
from server.settings.values import Address

# For a service named `cabrank`, Kubernetes sets variables such as CABRANK_PORT_50051_TCP_ADDR in every pod.
_NOT_OURS = re.compile(
    r"CABRANK_TEST_\w+"
    r"|CABRANK(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """Where the one-command stack puts the parts that it brings along."""

    smtp_address: Address = declared(
        "CABRANK_DEV_SMTP_ADDRESS", Address.parse, "127.0.0.1:1025", "where `make run` takes mails"
    )
    platform_address: Address = declared(
        "CABRANK_DEV_PLATFORM_ADDRESS", Address.parse, "127.0.0.1:50061", "where `make run` serves the example platform"
    )
    redis_port: int | None = declared(
        "CABRANK_DEV_REDIS_PORT", text.optional(text.port), "", "port of `make run`'s Valkey; none: a socket file"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service is told by its environment. `Settings()` is what holds when it is told nothing."""

    redis: RedisSettings = group(RedisSettings)
    durability: Literal["memory", "fsync", "replica"] = declared(
        "CABRANK_DURABILITY",
        text.choice("memory", "fsync", "replica"),
        "memory",
        "when an enqueue is acknowledged: memory, Redis took it; fsync, it is on disk; replica, and on a replica",
    )
    jobs: JobSettings = group(JobSettings)
    lease: timedelta = declared(
        "CABRANK_LEASE_SECONDS", text.seconds(0.5, 3600), "15", "how long a silent worker keeps its jobs"
    )
    task_modules: tuple[str, ...] = declared(
        "CABRANK_TASK_MODULES", text.modules, "", "Python modules with tasks of your own, separated by commas"
    )
    platform_address: Address | None = declared(
        "CABRANK_PLATFORM_ADDRESS", text.optional(Address.parse), "", "where the backend serves PlatformService"
    )
    smtp: SmtpSettings = group(SmtpSettings)
    brand: BrandSettings = group(BrandSettings)
    template_dir: Path | None = declared(
        "CABRANK_TEMPLATE_DIR", text.optional(text.directory), "", "mail templates that go before the built-in ones"
    )
    grpc_address: Address = declared("GRPC_ADDRESS", Address.parse, "127.0.0.1:50051", "where rpcs are served")
    http_address: Address = declared(
        "HTTP_ADDRESS", Address.parse, "127.0.0.1:8080", "where health and metrics are served"
    )
    reflection: bool = declared(
        "CABRANK_REFLECTION", text.flag, "false", "whether the server describes its contract to tools like grpcurl"
    )
    bullmq_metrics: bool = declared(
        "CABRANK_BULLMQ_METRICS", text.flag, "false", "whether metrics also have bullmq_job_count, for older boards"
    )
    shutdown_grace: timedelta = declared(
        "CABRANK_SHUTDOWN_SECONDS", text.seconds(0, 3600), "10", "how long running calls may take when it stops"
    )
    log_level: Literal["debug", "info", "warning", "error", "critical"] = declared(
        "LOG_LEVEL", text.choice("debug", "info", "warning", "error", "critical"), "info", "the least that is logged"
    )
    log_format: Literal["json", "console"] = declared(
        "LOG_FORMAT", text.choice("json", "console"), "json", "json: one object per line; console: text for people"
    )
    data_dir: Path = declared("CABRANK_DATA_DIR", Path, ".cabrank", "where `make run` keeps everything")
    stack: StackSettings = group(StackSettings)
    # As text, because which queues exist is known only when the task modules are loaded.
    queue_variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Self:
        """Raises SettingsError, which names every variable that is wrong or misspelt."""
        environment = Environment(variables)
        settings = environment.read(cls)
        for queue in queues_named_in(variables):
            environment.read(QueueVariables, QUEUE=spelling(queue))
        environment.faults.extend(_misspelt(variables))
        environment.refuse_faults()
        about_queues = {name: given for name, given in variables.items() if given and is_about_a_queue(name)}
        return replace(settings, queue_variables=about_queues)

    @property
    def redis_url(self) -> str | None:
        """Where Redis is, with the password; None when no Redis is configured."""
        return self.redis.url

    @property
    def queues(self) -> dict[str, QueueSettings]:
        """The built-in queues and those that a variable names."""
        return {name: self.queue(name) for name in queues_named_in(self.queue_variables)}

    def queue(self, name: str) -> QueueSettings:
        """The settings of any queue. Raises SettingsError for a wrong value that only this queue makes ours."""
        environment = Environment(self.queue_variables)
        variables = environment.read(QueueVariables, QUEUE=spelling(name))
        environment.refuse_faults()
        return variables.over(self.jobs, usual_concurrency=BUILT_IN_CONCURRENCY.get(name, USUAL_CONCURRENCY))


def every_setting() -> Iterator[Setting[Any]]:
    """All settings, as documentation lists them: those of single queues last, with {QUEUE} in their names."""
    yield from settings_of(Settings)
    concurrency, *others = settings_of(QueueVariables)
    for queue, usual in BUILT_IN_CONCURRENCY.items():
        yield replace(concurrency, name=concurrency.name.format(QUEUE=spelling(queue)), default=str(usual))
    yield replace(concurrency, default=str(USUAL_CONCURRENCY))
    yield from others


def _misspelt(variables: Mapping[str, str]) -> Iterator[str]:
    """A setting with a wrong name would have no effect, and nobody would know."""
    known = [each.name for each in settings_of(Settings)]
    for name in sorted(variables):
        if name.startswith("CABRANK_") and name not in known and not _NOT_OURS.fullmatch(name):
            near = difflib.get_close_matches(name, known, n=1)
            yield f"{name} is no setting" + (f": did you mean {near[0]}?" if near else ".")
