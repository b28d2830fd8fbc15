"""One message as it goes over the wire: a header, a text part and an HTML part (RFC 5322, RFC 2046)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import format_datetime

from workers.mail.address import Address, Mailbox
from workers.mail.errors import FieldRefused
from workers.mail.line import flaw
from workers.mail.rendering import Rendered

_OF_THE_PARTS = ["MIME-Version", "Content-Type"]

# Keeps a subject within one line of 78 characters (RFC 5322).
_LONGEST_PLAIN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The envelope and what is in it."""

    message_id: str
    sender: Address
    recipient: Address
    content: bytes

    @property
    def needs_utf8(self) -> bool:
        """Whether only a server that speaks SMTPUTF8 (RFC 6531) can take it."""
        return self.sender.needs_utf8 or self.recipient.needs_utf8


def message_id_for(*, queue: str, job_id: str, domain: str) -> str:
    """The same for every attempt of a job, so that a mail sent twice is known as one. Gives neither away."""
    digest = hashlib.sha256(f"{queue}\0{job_id}".encode()).hexdigest()
    return f"<{digest[:40]}@{domain}>"


def compose(rendered: Rendered, *, sender: Mailbox, to: Address, message_id: str, date: datetime) -> Message:
    """Raises FieldRefused for a subject that would not stay within its header."""
    fields = {
        "From": f"{_phrase(sender.name)} <{sender.address}>".lstrip(),
        "To": str(to),
        "Subject": _subject(rendered.subject),
        "Date": format_datetime(date),
        "Message-ID": message_id,
        "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office reply, please
    }
    # Written here, line by line: the email package decodes encoded words in what it is given and, before
    # Python 3.11.10, breaks the line at what it finds in them.
    header = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
    content = header + _parts(rendered)
    _verify(content, headers=[*fields, *_OF_THE_PARTS])
    return Message(message_id=message_id, sender=sender.address, recipient=to, content=content)


def _subject(text: str) -> str:
    text = text.strip()
    if why := flaw(text):
        raise FieldRefused("Subject", why)
    return text if _is_plain(text) else _encoded(text, header="Subject")


def _phrase(name: str) -> str:
    """A name before an address: a quoted string or encoded words."""
    if not name or not _is_plain(name):
        return _encoded(name, header="From")
    escaped = name.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def _is_plain(text: str) -> bool:
    return text.isascii() and len(text) <= _LONGEST_PLAIN


def _encoded(text: str, *, header: str) -> str:
    """Encoded words (RFC 2047), folded."""
    return Header(text, charset="utf-8", header_name=header).encode(linesep="\r\n")


def _parts(rendered: Rendered) -> bytes:
    """Both parts, quoted-printable: 7 bits and short lines, whatever the server can do, and still legible."""
    parts = EmailMessage(policy=SMTP)
    parts.set_content(rendered.text, cte="quoted-printable")
    parts.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    return parts.as_bytes()


def _verify(content: bytes, *, headers: list[str]) -> None:
    """The last look: a reader must find the headers that were meant, each once, and no other."""
    found = BytesHeaderParser().parsebytes(content).keys()
    if found != headers:
        raise FieldRefused("the message", f"would be read as having the headers {', '.join(found)}")
