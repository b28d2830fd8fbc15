"""The mails that the service sends by itself."""

from __future__ import annotations

from typing import Annotated

from server.catalog.address import EmailAddress
from server.catalog.payload import SECRET, Payload
from server.catalog.task import Task
from server.catalog.text import Identifier, Line


class FirstName(Line):
    """How a mail addresses its reader."""

    __slots__ = ()


class Code(Line):
    """A one-time code that proves that the reader owns the address."""

    __slots__ = ()
    most = 64


class ResetToken(Line):
    """What a password can be reset with."""

    __slots__ = ()
    most = 512


class VerificationCode(Payload, frozen=True):
    """A mail with the code that completes a registration."""

    email: EmailAddress
    code: Annotated[Code, SECRET]
    first_name: FirstName


class PasswordReset(Payload, frozen=True):
    """A mail with the link that resets a password."""

    email: EmailAddress
    reset_token: Annotated[ResetToken, SECRET]
    first_name: FirstName


class Welcome(Payload, frozen=True):
    """A mail that welcomes a user to a course; both are looked up at the calling backend."""

    user_id: Identifier
    course_id: Identifier


class PaymentReceipt(Payload, frozen=True):
    """A mail that confirms a payment; user, payment and course are looked up at the calling backend."""

    user_id: Identifier
    payment_id: Identifier
    course_id: Identifier


VERIFICATION_CODE = Task(name="email.verification_code", queue="email", payload=VerificationCode)
PASSWORD_RESET = Task(name="email.password_reset", queue="email", payload=PasswordReset)
WELCOME = Task(name="email.welcome", queue="email", payload=Welcome)
PAYMENT_RECEIPT = Task(name="email.payment_receipt", queue="email", payload=PaymentReceipt)
