"""The mails. Whatever ends an attempt here says by its type what becomes of the job."""

from __future__ import annotations

import asyncio
from datetime import UTC

from cabrank.platform.v1.platform_pb2 import Course, Payment, User

from server.catalog import JobContext, PermanentFailure, Snooze, email, handler
from workers.mail import mails
from workers.mail.errors import FieldRefused, Rejected, Unreachable
from workers.mail.mails import Mail
from workers.services import services


@handler(email.VERIFICATION_CODE)
async def send_verification_code(payload: email.VerificationCode, job: JobContext) -> dict[str, str]:
    """Proves that an address is the reader's own."""
    mail = mails.VerificationCode(code=payload.code, first_name=payload.first_name)
    return await _send(mail, to=payload.email, job=job)


@handler(email.PASSWORD_RESET)
async def send_password_reset(payload: email.PasswordReset, job: JobContext) -> dict[str, str]:
    """Lets the reader choose a new password."""
    mail = mails.PasswordReset(reset_token=payload.reset_token, first_name=payload.first_name)
    return await _send(mail, to=payload.email, job=job)


@handler(email.WELCOME)
async def send_welcome(payload: email.Welcome, job: JobContext) -> dict[str, str]:
    """Greets someone who has joined a course."""
    platform = services().platform
    user, course = await asyncio.gather(platform.user(payload.user_id), platform.course(payload.course_id))
    mail = mails.Welcome(
        first_name=user.first_name,
        last_name=user.last_name,
        course_title=course.title,
        course_url=course.url,
    )
    return await _send(mail, to=user.email, job=job)


@handler(email.PAYMENT_RECEIPT)
async def send_payment_receipt(payload: email.PaymentReceipt, job: JobContext) -> dict[str, str]:
    """Confirms a payment. One that has not succeeded yet is waited for."""
    platform = services().platform
    user, course, payment = await asyncio.gather(
        platform.user(payload.user_id), platform.course(payload.course_id), platform.payment(payload.payment_id)
    )
    if (payment.user_id, payment.course_id) != (user.id, course.id):
        raise PermanentFailure(f"payment {payment.id} is not one of user {user.id} for course {course.id}")
    if not payment.HasField("paid_at"):
        raise Snooze(reason=f"payment {payment.id} has not succeeded yet")
    return await _send(_receipt(user, course, payment), to=user.email, job=job)


def _receipt(user: User, course: Course, payment: Payment) -> Mail:
    return mails.PaymentReceipt(
        first_name=user.first_name,
        last_name=user.last_name,
        course_title=course.title,
        course_url=course.url,
        payment_id=payment.id,
        amount=payment.amount.decimal,
        currency=payment.amount.currency,
        paid_at=payment.paid_at.ToDatetime(UTC),
        provider=payment.provider,
        reference=payment.reference,
    )


async def _send(mail: Mail, *, to: str, job: JobContext) -> dict[str, str]:
    """Its other errors, Deferred and TemplateBroken, count as failed attempts."""
    try:
        receipt = await services().mailer.send(mail, to=to, queue=job.queue, job_id=job.id)
    except Unreachable as error:
        raise Snooze(reason=str(error)) from None
    except (Rejected, FieldRefused) as error:
        raise PermanentFailure(str(error)) from None
    return {"message_id": receipt.message_id, "reply": str(receipt.reply)}
