"""What may stand on one line: in a header, in a name, in a reason that is shown to people."""

import re
import unicodedata

# Control characters, line and paragraph separators, halves of surrogate pairs (which are no text at all).
_BREAKING = frozenset({"Cc", "Zl", "Zp", "Cs"})
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[^?]*\?.*\?=")
_LONGEST_REASON = 300


def flaw(text: str) -> str | None:
    """Why the text may not stand on one line, as the end of a sentence; None when it may.

    An encoded word (RFC 2047) is refused whatever it hides: readers and relays decode it, so that what
    arrives is not what was checked. `=?utf-8?q?Ada=0ABcc:_eve@example.org?=` is a second header to some of
    them.
    """
    for character in text:
        if _breaks(character):
            return f"holds a line break or another control character (U+{ord(character):04X})"
    if _ENCODED_WORD.search(text):
        return "holds an encoded word (=?...?=)"
    return None


def flattened(text: str) -> str:
    """Foreign text as one line of at most 300 characters, safe to log and to show."""
    words = "".join(" " if _breaks(character) else character for character in text).split()
    line = " ".join(words)
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"


def _breaks(character: str) -> bool:
    return unicodedata.category(character) in _BREAKING
