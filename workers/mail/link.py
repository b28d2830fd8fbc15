"""Addresses of web pages, as mails link to them."""

import re

_WEB_ADDRESS = re.compile(r"""https?://[^\s/?#<>"'\\]+(?:[/?#][^\s<>"'\\]*)?""")


def link_flaw(url: str) -> str | None:
    """Why no mail may link there, as the end of a sentence: `javascript:` and its like are no pages."""
    return None if _WEB_ADDRESS.fullmatch(url) else "is no web address such as https://example.org/page"
