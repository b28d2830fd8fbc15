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
        why = _fault(text)
        return why and f"must be an email address such as ada@example.org: it must {why}"


def _fault(text: str) -> str | None:
    if not text.isprintable() or " " in text:
        return "not hold spaces or control characters"
    if ENCODED_WORD.search(text):
        return "not hold an encoded word (=?…?=)"
    if text.count("@") != 1:
        return "have one @"
    local, domain = text.split("@")
    ascii_domain = _in_ascii(domain)
    if len(local.encode()) + len("@") + len(ascii_domain) > EmailAddress.most:
        return f"have at most {EmailAddress.most} bytes, its domain in ASCII"
    return _fault_of_local(local) or _fault_of_domain(domain, ascii_domain)


def _fault_of_local(local: str) -> str | None:
    if not 1 <= len(local.encode()) <= _MOST_LOCAL:
        return f"have 1 to {_MOST_LOCAL} bytes before the @"
    if not _ATOMS.fullmatch(local):
        return "have only letters, digits, single dots and !#$%&'*+/=?^_`{|}~- before the @"
    return None


def _fault_of_domain(domain: str, ascii_domain: str) -> str | None:
    if not _DOMAIN.fullmatch(ascii_domain):
        return "have a domain such as example.org after the @"
    # Python's IDNA is that of 2003, which takes some letters for others (ß for ss): another domain's reader.
    if not domain.isascii() and ascii_domain.encode().decode("idna") != unicodedata.normalize("NFC", domain.lower()):
        return "have its domain in the ASCII form (xn--…)"
    return None


def _in_ascii(domain: str) -> str:
    """The domain as name servers know it; empty when it has no such form."""
    try:
        return domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        return ""
