"""The kinds of mail, and what each is told. A kind's fields are the words that its templates may use."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import ClassVar

from workers.mail.errors import FieldRefused
from workers.mail.line import flaw
from workers.mail.link import link_flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail to one person. `template` names its three files: `.subject.txt`, `.txt` and `.html`.

    Every text is one line, or FieldRefused is raised: a line break could forge a paragraph, or a header.
    """

    template: ClassVar[str]

    first_name: str = ""

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            if isinstance(value, str) and (why := flaw(value)):
                raise FieldRefused(name, why)

    def values(self) -> dict[str, object]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationCode(Mail):
    """Proves that an address is the reader's own."""

    template = "verification_code"

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordReset(Mail):
    """Lets a reader choose a new password: by a link, or by the bare token where no link base is
    configured."""

    template = "password_reset"

    reset_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseMail(Mail):
    """About a course. `course_url` may be empty: the mail then links nowhere."""

    last_name: str = ""
    course_title: str
    course_url: str = ""

    def __post_init__(self) -> None:
        Mail.__post_init__(self)
        if self.course_url and (why := link_flaw(self.course_url)):
            raise FieldRefused("course_url", why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(CourseMail):
    """Greets someone who has joined a course."""

    template = "welcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReceipt(CourseMail):
    """Confirms a payment. `amount` is decimal text as a reader expects it (`49.90`), `currency` ISO 4217
    (`EUR`)."""

    template = "payment_receipt"

    payment_id: str
    amount: str
    currency: str
    paid_at: datetime
    provider: str = ""
    reference: str = ""
