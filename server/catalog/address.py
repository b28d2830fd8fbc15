"""What an email address is, as far as syntax tells: what passes goes into headers and to a mail server."""

from __future__ import annotations

import re
import unicodedata

from server.catalog.text import ENCODED_WORD, Text

_MOST_LOCAL = 64  # octets: RFC 5321, 4.5.3.1
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_ATOMS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}")


class EmailAddress(Text):
    """One address: no display name, quotes or comments. The domain may be international."""

    __slots__ = ()
    most = 254  # octets: RFC 5321, 4.5.3.1, erratum 1690

    @classmethod
    def fault(cls, text: str, /) -> str | None:
        local, _, domain = text.rpartition("@")
        why = _fault_of_all(text) or _fault_of_local(local) or _fault_of_domain(domain)
        return why and f"must be an email address such as ada@example.org: {why}"


def _fault_of_all(text: str) -> str | None:
    if text.count("@") != 1:
        return "it must have one @"
    if not text.isprintable() or " " in text:
        return "it must not hold spaces or control characters"
    if len(text.encode()) > EmailAddress.most:
        return f"it must have at most {EmailAddress.most} bytes"
    if ENCODED_WORD.search(text):
        return "it must not hold an encoded word (=?…?=)"
    return None


def _fault_of_local(local: str) -> str | None:
    if not 1 <= len(local.encode()) <= _MOST_LOCAL:
        return f"it must have 1 to {_MOST_LOCAL} bytes before the @"
    if not _ATOMS.fullmatch(local):
        return "it must have only letters, digits, single dots and !#$%&'*+/=?^_`{|}~- before the @"
    return None


def _fault_of_domain(domain: str) -> str | None:
    try:
        encoded = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        encoded = ""
    if not _DOMAIN.fullmatch(encoded):
        return "it must have a domain such as example.org after the @"
    # Python's IDNA is that of 2003, which takes some letters for others (ß for ss): another domain's reader.
    if not domain.isascii() and encoded.encode().decode("idna") != unicodedata.normalize("NFC", domain.lower()):
        return "it must have its domain in the ASCII form (xn--…)"
    return None
