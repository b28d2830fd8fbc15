"""What the SMTP server said."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from workers.mail.line import flattened

_STATUS_FIRST = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: `550`, its enhanced status `5.1.1` (RFC 3463) or "", and its words on one line."""

    code: int
    status: str
    text: str

    @classmethod
    def read(cls, code: int, message: str, *, secrets: Iterable[str] = ()) -> Self:
        """Reads a reply of any number of lines. It may repeat what was said: `secrets` are blotted out."""
        for secret in secrets:
            message = message.replace(secret, "***")
        status = _STATUS_FIRST.match(message)
        if status is None:
            return cls(code=code, status="", text=flattened(message))
        # Each line of a longer reply repeats the status.
        return cls(code=code, status=status[1], text=flattened(message.replace(status[0], "")))

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.status, self.text)))
