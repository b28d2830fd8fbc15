"""Where mails are handed over, and what they say about their sender."""
# ruff: noqa: RUF009 -- declared() answers with a dataclass field, as dataclasses.field() does

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from server.settings import text
from server.settings.declaration import declared

_SUBMISSION, _SUBMISSION_OVER_TLS = 587, 465


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """The mail server, and as whom to speak to it."""

    host: str | None = declared("SMTP_HOST", text.optional(text.host), "", "the mail server")
    given_port: int | None = declared(
        "SMTP_PORT",
        text.optional(text.port),
        "",
        f"its port; none: {_SUBMISSION}, or {_SUBMISSION_OVER_TLS} with SMTP_TLS=tls",
    )
    user: str | None = declared("SMTP_USER", text.optional(text.line), "", "whom to log in as; none: no login")
    password: str = declared("SMTP_PASSWORD", str, "", "the password of SMTP_USER", secret=True)
    sender: str = declared("SMTP_FROM", text.mailbox, "cabrank <no-reply@localhost>", "the sender of every mail")
    tls: Literal["auto", "starttls", "tls", "none"] = declared(
        "SMTP_TLS",
        text.choice("auto", "starttls", "tls", "none"),
        "auto",
        "auto: STARTTLS where it is offered; starttls: required; tls: from the first byte; none",
    )
    connections: int = declared(
        "CABRANK_SMTP_CONNECTIONS", text.whole(1, 1000), "10", "connections to it per worker process"
    )
    timeout: timedelta = declared(
        "CABRANK_SMTP_TIMEOUT", text.duration("1s", "10m"), "30s", "how long it may take for one answer"
    )

    def __post_init__(self) -> None:
        if bool(self.user) != bool(self.password):
            raise ValueError("SMTP_USER and SMTP_PASSWORD must be set both, or neither")

    @property
    def port(self) -> int:
        return self.given_port or (_SUBMISSION_OVER_TLS if self.tls == "tls" else _SUBMISSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandSettings:
    """What mails say about who sends them."""

    name: str = declared("CABRANK_BRAND_NAME", text.line, "cabrank", "the name that mails speak of")
    support_address: str | None = declared(
        "CABRANK_SUPPORT_ADDRESS", text.optional(text.mailbox), "", "the address that mails name for questions"
    )
    link_base: str | None = declared(
        "CABRANK_LINK_BASE", text.optional(text.link_base), "", "the URL that links in mails begin with"
    )
