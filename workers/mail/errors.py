"""What can become of a mail, other than that it was taken.

MailError
├── DeliveryError         the conversation with the SMTP server ended without the mail being taken
│   ├── Unreachable       it is the server, or our account on it: wait, this mail is not at fault
│   ├── Deferred          not now, this mail: an attempt was spent, try again
│   └── Rejected          never, this mail
├── TemplateBroken        the house's own fault: no mail of this kind can be made until it is mended
└── FieldRefused          never: a value that no mail may carry
"""

from enum import StrEnum
from typing import ClassVar

from workers.mail.reply import Reply


class Phase(StrEnum):
    """Where a conversation stood."""

    CONNECT = "connect"
    HELLO = "EHLO"
    ENCRYPT = "STARTTLS"
    LOGIN = "AUTH"
    SENDER = "MAIL"
    RECIPIENT = "RCPT"
    CONTENT = "DATA"


class MailError(Exception):
    """The mail was not sent."""


class DeliveryError(MailError):
    """The server did not take the mail. `reply` is what it said; None when it said nothing."""

    meaning: ClassVar[str]

    def __init__(self, phase: Phase, reason: str, *, reply: Reply | None = None) -> None:
        super().__init__(phase, reason)
        self.phase = phase
        self.reason = reason
        self.reply = reply

    def __str__(self) -> str:
        return f"{self.meaning}: {self.reason}"


class Unreachable(DeliveryError):
    """No mail can be handed over at present. Nothing was sent; the job waits and is charged nothing."""

    meaning = "the SMTP server cannot be used now"


class Deferred(DeliveryError):
    """The server put this mail off, or may have taken it without saying so. The attempt counts; the next
    one carries the same Message-ID, by which a mail that arrives twice is known."""

    meaning = "the mail was not handed over"

    @property
    def uncertain(self) -> bool:
        """Whether the mail may be out all the same: its content was sent and no answer came."""
        return self.reply is None


class Rejected(DeliveryError):
    """The server will never take this mail. The job fails for good."""

    meaning = "the SMTP server refuses the mail"


class TemplateBroken(MailError):
    """A template cannot be read, or asks for what the mail does not have. `line` is None where none is to
    blame."""

    def __init__(self, template: str, line: int | None, reason: str) -> None:
        super().__init__(template, line, reason)
        self.template = template
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        place = self.template if self.line is None else f"{self.template}, line {self.line}"
        return f"the mail template {place} is broken: {self.reason}"


class FieldRefused(MailError):
    """A value would change the message around it, or is no address. The job fails for good."""

    def __init__(self, field: str, flaw: str) -> None:
        super().__init__(field, flaw)
        self.field = field
        self.flaw = flaw

    def __str__(self) -> str:
        return f"{self.field} is refused: it {self.flaw}"
