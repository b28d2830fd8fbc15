"""What the stack shows once everything answers: its addresses, and one mail that went all the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import grpc
from cabrank.v1 import email_pb2, email_pb2_grpc, job_pb2, queue_pb2, queue_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # it has no stubs

from server.dev.errors import NotReady
from server.dev.mails import MailFolder
from server.dev.plan import Plan
from server.settings import Address

_READY_SECONDS = 30.0
_MAIL_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.03


async def greet(plan: Plan, *, begun: float) -> None:
    """Wait until everything is ready, send the sample mail, and print. Raises NotReady."""
    await until_ready(plan)
    mail = await sample(plan) if plan.embeds_smtp else "Mails go to your own SMTP_HOST, so there was no sample"
    print(_text(plan, mail=mail, seconds=time.monotonic() - begun), flush=True)


async def until_ready(plan: Plan) -> None:
    """Raises NotReady, which names the one that is not."""
    settings = plan.settings
    checks = [
        _until(_serves, "server", settings.grpc_address),
        _until(_is_healthy, "server", settings.http_address),
    ]
    if plan.embeds_smtp:
        checks.append(_until(_listens, "sink", settings.stack.smtp_address))
    if plan.embeds_platform:
        checks.append(_until(_listens, "platform", settings.stack.platform_address))
    await asyncio.gather(*checks)


async def sample(plan: Plan) -> str:
    """Send one mail by way of the whole stack; the sentence that tells where it landed, or what happened instead."""
    folder = MailFolder(path=plan.mail_dir)
    before = set(folder.mails())
    try:
        async with _channel(plan.settings.grpc_address) as channel:
            job = await _send(channel)
    except grpc.aio.AioRpcError as refusal:
        return f"The sample mail was refused: {refusal.code().name}, {refusal.details()}"
    if job.state != job_pb2.JOB_STATE_COMPLETED:
        return f"The sample mail has not been sent: job {job.id} is {job_pb2.JobState.Name(job.state)}"
    landed = [mail for mail in folder.mails() if mail not in before]
    if not landed:
        return "The sample mail was sent by other workers, which share your Redis"
    return f"A sample mail landed in {landed[-1]}"


def _channel(address: Address) -> grpc.aio.Channel:
    # Our own server is not beyond a proxy, whatever http_proxy says.
    return grpc.aio.insecure_channel(str(address), options=[("grpc.enable_http_proxy", 0)])


async def _send(channel: grpc.aio.Channel) -> job_pb2.Job:
    request = email_pb2.SendVerificationCodeRequest(email="ada@example.org", code="123456", first_name="Ada")
    sent = await email_pb2_grpc.EmailServiceStub(channel).SendVerificationCode(request, timeout=_MAIL_SECONDS)
    wait = queue_pb2.WaitJobRequest(queue=sent.job.queue, job_id=sent.job.id)
    ended = await queue_pb2_grpc.QueueServiceStub(channel).WaitJob(wait, timeout=_MAIL_SECONDS)
    return ended.job


def _text(plan: Plan, *, mail: str, seconds: float) -> str:
    grpc_address, http_address = plan.settings.grpc_address, plan.settings.http_address
    mails = plan.mail_dir if plan.embeds_smtp else plan.settings.smtp.host
    body = '{"email":"ada@example.org","code":"123456","first_name":"Ada"}'
    return f"""
  cabrank is ready after {seconds:.1f} s

    gRPC     {grpc_address}
    HTTP     http://{http_address}/metrics   http://{http_address}/healthz
    mails    {mails}
    data     {plan.settings.data_dir}

  {mail}. Send one yourself:

    grpcurl -plaintext -d '{body}' {grpc_address} cabrank.v1.EmailService/SendVerificationCode

  Ctrl-C stops everything.
"""


async def _until(check: Callable[[Address], Awaitable[bool]], name: str, address: Address) -> None:
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while not await check(address):  # noqa: ASYNC110  (another process has to come up)
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
    except TimeoutError:
        raise NotReady(name, where=str(address), seconds=_READY_SECONDS) from None


async def _listens(address: Address) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()
        return True
    return False


async def _is_healthy(address: Address) -> bool:
    with suppress(OSError):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        status = await reader.readline()
        writer.close()
        return b" 200 " in status
    return False


async def _serves(address: Address) -> bool:
    # Asked only when somebody listens: after a refused connection a channel waits a second before the next.
    if not await _listens(address):
        return False
    with suppress(grpc.aio.AioRpcError):
        async with _channel(address) as channel:
            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
    return False
