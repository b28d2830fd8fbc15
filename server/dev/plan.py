"""Which programs make up the stack and what they are told: whatever is not configured is embedded."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from server.dev.ports import free_port
from server.dev.processes import Program
from server.settings import Address, Settings

_EXAMPLES = Path(__file__).resolve().parents[2] / "clients" / "python" / "examples"
_FEWEST_THREADS = 8
_SERVICE_GRACE = 2.2  # seconds; dramatiq's processes look once a second whether they are to stop

# What is said where the user says nothing: a stack is looked at, started often and stopped in a hurry.
_USUAL = {
    "LOG_FORMAT": "console",
    "CABRANK_REFLECTION": "true",
    "CABRANK_SHUTDOWN_SECONDS": "1",
    "dramatiq_restart_delay": "500",
    "dramatiq_worker_timeout": "100",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One stack before it runs: its settings, without ports 0, and the variables that they were read from."""

    settings: Settings
    variables: Mapping[str, str]

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        variables = {**_USUAL, **{name: value for name, value in variables.items() if value}}
        settings = Settings.from_environment(variables)
        stack = replace(
            settings.stack,
            smtp_address=_settled(settings.stack.smtp_address),
            platform_address=_settled(settings.stack.platform_address),
        )
        settled = replace(
            settings,
            grpc_address=_settled(settings.grpc_address),
            http_address=_settled(settings.http_address),
            stack=stack,
        )
        return cls(settings=settled, variables=variables)

    @property
    def embeds_redis(self) -> bool:
        return self.settings.redis_url is None

    @property
    def embeds_smtp(self) -> bool:
        return self.settings.smtp.host is None

    @property
    def embeds_platform(self) -> bool:
        return self.settings.platform_address is None

    @property
    def mail_dir(self) -> Path:
        return self.settings.data_dir / "mail"

    @property
    def redis_dir(self) -> Path:
        return self.settings.data_dir / "valkey"

    def ports(self) -> Iterator[tuple[str, Address]]:
        """What the stack is going to listen on, with the setting that moves it elsewhere."""
        yield "GRPC_ADDRESS", self.settings.grpc_address
        yield "HTTP_ADDRESS", self.settings.http_address
        if self.embeds_smtp:
            yield "CABRANK_DEV_SMTP_ADDRESS", self.settings.stack.smtp_address
        if self.embeds_platform:
            yield "CABRANK_DEV_PLATFORM_ADDRESS", self.settings.stack.platform_address
        if self.embeds_redis and self.settings.stack.redis_port:
            yield "CABRANK_DEV_REDIS_PORT", Address(host="127.0.0.1", port=self.settings.stack.redis_port)

    def surroundings(self) -> Iterator[Program]:
        """What stands in for the world around the service."""
        if self.embeds_smtp:
            address, folder = str(self.settings.stack.smtp_address), str(self.mail_dir)
            yield _python("sink", "-m", "server.dev.sink", "--address", address, "--folder", folder)
        if self.embeds_platform:
            address = str(self.settings.stack.platform_address)
            yield _python("platform", str(_EXAMPLES / "platform_service.py"), "--address", address)

    def service(self, *, redis_url: str | None) -> Iterator[Program]:
        """The service itself. `redis_url` is that of the embedded server, if it is used."""
        environment = self._told(redis_url)
        threads = max(_FEWEST_THREADS, sum(queue.concurrency for queue in self.settings.queues.values()))
        yield _python("server", "-m", "server", environment=environment, grace=_SERVICE_GRACE)
        yield _python(
            *("workers", "-m", "dramatiq", "workers", "--skip-logging"),
            *("-p", "1", "-t", str(threads), "--worker-shutdown-timeout", "500"),
            environment=environment,
            grace=_SERVICE_GRACE,
        )

    def _told(self, redis_url: str | None) -> Mapping[str, str]:
        addresses = {"GRPC_ADDRESS": str(self.settings.grpc_address), "HTTP_ADDRESS": str(self.settings.http_address)}
        told = {**self.variables, **addresses}
        if redis_url:
            told |= _redis_at(redis_url)
        if self.embeds_smtp:
            told |= _smtp_at(self.settings.stack.smtp_address)
        if self.embeds_platform:
            told |= {"CABRANK_PLATFORM_ADDRESS": str(self.settings.stack.platform_address)}
        return told


def _settled(address: Address) -> Address:
    """Port 0 lets the system choose; here it is chosen beforehand, for others have to know it."""
    return address if address.port else replace(address, port=free_port())


# Both leave nothing of a half configuration: an embedded part knows no user and no password.
def _redis_at(url: str) -> Mapping[str, str]:
    blank = dict.fromkeys(("REDIS_PASSWORD", "REDIS_PASSWORD_FILE", "REDIS_URL_FILE"), "")
    return {**blank, "REDIS_ENABLED": "true", "REDIS_URL": url}


def _smtp_at(address: Address) -> Mapping[str, str]:
    blank = dict.fromkeys(("SMTP_USER", "SMTP_PASSWORD", "SMTP_PASSWORD_FILE"), "")
    return {**blank, "SMTP_HOST": address.host, "SMTP_PORT": str(address.port), "SMTP_TLS": "none"}


def _python(name: str, *argv: str, environment: Mapping[str, str] | None = None, grace: float = 0.3) -> Program:
    return Program(name=name, argv=[sys.executable, *argv], environment=environment or {}, grace=grace)
