"""The SMTP sink as a process, in a real conversation."""

import email
import email.policy
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

from server.dev.mails import MailFolder
from server.dev.ports import free_port
from server.dev.tether import tethered
from tests.dev.survivors import eventually


def _mail(subject: str, text: str = "Grüße") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "cabrank@example.org", "ada@example.org", subject
    mail.set_content(text)
    mail.add_alternative(f"<p>{text}</p>", subtype="html")
    return mail


def _sink_argv(port: int, folder: Path, *options: str) -> list[str]:
    address = f"127.0.0.1:{port}"
    return [sys.executable, "-m", "server.dev.sink", "--address", address, "--folder", str(folder), *options]


@contextmanager
def _sink(folder: Path, *options: str) -> Iterator[smtplib.SMTP]:
    """A connection to a sink that keeps its mails in `folder`."""
    port = free_port()
    argv = tethered(_sink_argv(port, folder, *options))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            assert eventually(lambda: _answers(port))
            with smtplib.SMTP("127.0.0.1", port) as connection:
                yield connection
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_mail_becomes_a_file_with_both_its_parts(tmp_path: Path) -> None:
    with _sink(tmp_path / "mail") as connection:
        connection.send_message(_mail("code", "Your code is 123456. Grüße"))

    (path,) = MailFolder(path=tmp_path / "mail").mails()
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert mail["Subject"] == "code"
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part is not None
        assert "Your code is 123456. Grüße" in part.get_content()


def test_files_lie_in_the_order_of_the_mails(tmp_path: Path) -> None:
    subjects = [f"mail {number}" for number in range(20)]
    with _sink(tmp_path) as connection:
        for subject in subjects:
            connection.send_message(_mail(subject))

    kept = [email.message_from_bytes(path.read_bytes()) for path in MailFolder(path=tmp_path).mails()]
    assert [mail["Subject"] for mail in kept] == subjects


def test_a_mail_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """Also the dots that SMTP doubles, and addresses and text beyond ASCII."""
    content = "Subject: Grüße\r\n\r\n.\r\n..\r\nLast line\r\n".encode()
    with _sink(tmp_path) as connection:
        connection.ehlo()
        connection.sendmail("a@example.org", ["jörg@example.org"], content, ["SMTPUTF8", "BODY=8BITMIME"])

    (path,) = MailFolder(path=tmp_path).mails()
    assert path.read_bytes() == content


def test_a_mail_takes_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    with _sink(tmp_path, "--delay", "0.5") as connection:
        begun = time.monotonic()
        connection.send_message(_mail("slow"))
        assert time.monotonic() - begun >= 0.5


def test_a_taken_port_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(_sink_argv(port, tmp_path), capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == (
        f"--address: cannot listen on 127.0.0.1:{port} (address already in use)."
        " Stop what runs there, or set --address to another address\n"
    )
