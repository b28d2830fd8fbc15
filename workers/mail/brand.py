"""Who the mails are from, in words that readers see."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from workers.mail.address import Mailbox
from workers.mail.errors import FieldRefused
from workers.mail.line import flaw
from workers.mail.link import link_flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """What every template knows as `brand`."""

    name: str
    support: Mailbox | None = None
    link_base: str = ""  # "" or https://example.org: where the pages are that mails link to

    def __post_init__(self) -> None:
        if why := flaw(self.name):
            raise FieldRefused("the brand's name", why)
        if self.link_base and (why := link_flaw(self.link_base)):
            raise FieldRefused("the brand's link base", why)

    def link(self, path: str, **parameters: str) -> str:
        """The address of a page, its parameters quoted; "" where no link base is configured."""
        if not self.link_base:
            return ""
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"{self.link_base.rstrip('/')}{path}{query}"
