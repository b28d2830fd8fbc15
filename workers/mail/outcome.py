"""What the server's answer, or its silence, means for the mail: the rules of delivery. No I/O."""

from workers.mail.errors import Deferred, DeliveryError, Phase, Rejected, Unreachable
from workers.mail.reply import Reply

_ABOUT_THIS_MAIL = frozenset({Phase.SENDER, Phase.RECIPIENT, Phase.CONTENT})

# 421: the server is closing down. 530: it wants a login or TLS first (RFC 4954, RFC 3207).
_NEVER_ABOUT_A_MAIL = frozenset({421, 530})

_FOR_GOOD = range(500, 600)


def refusal(phase: Phase, reply: Reply) -> DeliveryError:
    """The outcome of an answer other than yes.

    Before MAIL the server speaks of itself and of us, whatever the code: it is full, our address is on a
    list, the password is wrong (535). Those are for an operator to mend, and no mail may be lost meanwhile.
    From MAIL on, 4xx and 5xx are about this mail. 552 counts as 5xx: RFC 5321 reads it as "too many
    recipients", and we send one.
    """
    reason = f"{phase} was answered with {reply}"
    if phase not in _ABOUT_THIS_MAIL or reply.code in _NEVER_ABOUT_A_MAIL:
        return Unreachable(phase, reason, reply=reply)
    if reply.code in _FOR_GOOD:
        return Rejected(phase, reason, reply=reply)
    return Deferred(phase, reason, reply=reply)


def silence(phase: Phase, reason: str) -> DeliveryError:
    """The outcome of no answer: no connection, no trust in its certificate, a cut, a timeout.

    Until DATA the server cannot have taken the mail. From then on it can, without our knowing.
    """
    if phase is Phase.CONTENT:
        return Deferred(phase, f"{phase}: {reason}; it may have been taken all the same")
    return Unreachable(phase, f"{phase}: {reason}")
