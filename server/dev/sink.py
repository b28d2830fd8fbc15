"""An SMTP server that delivers nothing: it keeps each mail as a file in a folder, newest last by name.

python -m server.dev.sink --address 127.0.0.1:1025 --folder mail --delay 3
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from server.dev.errors import PortTaken
from server.dev.mails import MailFolder
from server.dev.ports import check
from server.settings import Address

_LARGEST_MAIL_BYTES = 32 * 1024 * 1024


class Sink:
    """What aiosmtpd asks at each step of the conversation; it accepts everything, `delay` seconds late."""

    def __init__(self, folder: MailFolder, *, delay: float = 0) -> None:
        self._folder = folder
        self._delay = delay

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the mail, then say so. The name of this method is aiosmtpd's."""
        await asyncio.sleep(self._delay)
        content = envelope.original_content or b""
        print(f"{', '.join(envelope.rcpt_tos)}: {self._folder.keep(content)}", flush=True)
        return "250 kept"


async def serve(address: Address, sink: Sink) -> None:
    """Take mails for ever. Raises PortTaken."""
    check("--address", address)
    loop = asyncio.get_running_loop()

    def conversation() -> SMTP:
        # With a name of its own: the default asks DNS for one at each connection.
        return SMTP(sink, hostname="localhost", data_size_limit=_LARGEST_MAIL_BYTES, enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(conversation, address.host, address.port)
    await server.serve_forever()


def main() -> None:
    arguments = _parser().parse_args()
    # Nothing has to be tidied up, and a pooled connection of a client would hold up an orderly end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sink = Sink(MailFolder(path=arguments.folder), delay=arguments.delay)
    try:
        asyncio.run(serve(arguments.address, sink))
    except PortTaken as refusal:
        sys.exit(str(refusal))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server.dev.sink", description="Keeps mails as files.")
    parser.add_argument("--address", type=Address.parse, required=True, metavar="HOST:PORT")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS", help="what each mail takes")
    return parser


if __name__ == "__main__":
    main()
