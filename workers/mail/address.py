"""Where a mail goes and whom it is from. Syntax only: nobody is asked whether a mailbox exists."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from workers.mail.errors import FieldRefused
from workers.mail.line import flaw

_LONGEST_ADDRESS, _LONGEST_LOCAL_PART = 254, 64  # octets: RFC 5321, section 4.5.3.1

# A dot-atom. Quoted local parts ("a b"@example.org) are legal and belong to nobody.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?!.*\.[0-9]+$)(?:{_LABEL}\.)*{_LABEL}")  # 192.0.2.1 is no domain
_NAMED = re.compile(r'(?P<quote>"?)(?P<name>[^<>"]*)(?P=quote) *<(?P<address>[^<>]*)>')


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One `local_part@domain`. The domain is lower case and in punycode, which every server understands; a
    local part beyond ASCII needs one that speaks SMTPUTF8."""

    local_part: str
    domain: str

    def __post_init__(self) -> None:
        if not (_is_local_part(self.local_part) and _DOMAIN.fullmatch(self.domain)):
            raise FieldRefused("address", "is not one address such as ada@example.org")
        if len(self.local_part.encode()) > _LONGEST_LOCAL_PART:
            raise FieldRefused("address", f"has more than {_LONGEST_LOCAL_PART} bytes before the @")
        if len(str(self).encode()) > _LONGEST_ADDRESS:
            raise FieldRefused("address", f"has more than {_LONGEST_ADDRESS} bytes")

    @classmethod
    def parse(cls, text: str, *, field: str = "address") -> Self:
        """Raises FieldRefused, which names `field`."""
        with _naming(field):
            if why := flaw(text):
                raise FieldRefused("address", why)
            local_part, _, domain = text.rpartition("@")
            return cls(local_part=local_part, domain=_in_punycode(domain))

    @property
    def needs_utf8(self) -> bool:
        return not self.local_part.isascii()

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """An address with the name it goes by, which may be empty."""

    name: str
    address: Address

    def __post_init__(self) -> None:
        if why := flaw(self.name):
            raise FieldRefused("name", why)

    @classmethod
    def parse(cls, text: str, *, field: str = "mailbox") -> Self:
        """Reads `ada@example.org` and `Ada Lovelace <ada@example.org>`. Raises FieldRefused."""
        named = _NAMED.fullmatch(text)
        if named is None:
            return cls(name="", address=Address.parse(text, field=field))
        with _naming(field):
            return cls(name=named["name"].strip(" "), address=Address.parse(named["address"]))


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Refuses under the name that the text has where it came from."""
    try:
        yield
    except FieldRefused as refusal:
        raise FieldRefused(field, refusal.flaw) from None


def _is_local_part(text: str) -> bool:
    return text.isprintable() and _LOCAL_PART.fullmatch(text) is not None


def _in_punycode(domain: str) -> str:
    """As every server understands it.

    Python knows IDNA 2003, which turns ß into ss and so reaches another domain than the one that was meant.
    What does not come back as it went in is refused: it can be given in punycode.
    """
    wanted = unicodedata.normalize("NFC", domain.lower())
    if wanted.isascii():
        return wanted
    try:
        encoded = wanted.encode("idna")
        meant = encoded.decode("idna")
    except UnicodeError:
        meant = ""
    if meant != wanted:
        raise FieldRefused("address", "has a domain that has to be given in punycode (xn--...)")
    return encoded.decode()
