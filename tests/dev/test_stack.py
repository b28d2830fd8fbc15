"""Starting, watching and stopping the stack, with a stand-in for the service (see stand_in.py)."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from server.dev.valkey import EmbeddedServer
from tests.dev.survivors import eventually, survivors


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The stacks of a test keep their data here, and listen where nobody else does."""
    for setting in ("GRPC_ADDRESS", "HTTP_ADDRESS", "CABRANK_DEV_SMTP_ADDRESS", "CABRANK_DEV_PLATFORM_ADDRESS"):
        monkeypatch.setenv(setting, "127.0.0.1:0")
    monkeypatch.setenv("CABRANK_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@contextmanager
def _stack(*, until: str = "Ctrl-C stops everything") -> Iterator[subprocess.Popen[str]]:
    """A stack that has said so much."""
    argv = [sys.executable, "-m", "tests.dev.stand_in", "stack"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stack:
        try:
            assert stack.stdout is not None
            said = ""
            while until not in said:
                line = stack.stdout.readline()
                assert line, said + stack.communicate()[1]
                said += line
            yield stack
        finally:
            stack.kill()


def _refusal_of_a_start() -> str:
    argv = [sys.executable, "-m", "server.dev"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def _end(stack: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was said on stderr."""
    _, refusal = stack.communicate(timeout=20)
    return stack.returncode, refusal


def test_a_sample_that_is_refused_is_no_reason_to_stop() -> None:
    """The stand-in has no EmailService; a service that is being worked on may be as far."""
    with _stack(until="The sample mail was refused: UNIMPLEMENTED") as stack:
        assert stack.poll() is None


def test_no_sample_goes_to_a_mail_server_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_HOST", "smtp.example.org")

    with _stack(until="Mails go to your own SMTP_HOST, so there was no sample"):
        pass


def test_a_redis_of_the_user_is_used_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, tmp_path: Path
) -> None:
    with EmbeddedServer.start(tmp_path / "theirs") as theirs:
        monkeypatch.setenv("REDIS_URL", theirs.url)

        with _stack() as stack:
            stack.terminate()
            assert _end(stack) == (0, "")

        assert not (data_dir / "valkey").exists()
        assert theirs.exit_code() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(number: signal.Signals, mark: str) -> None:
    with _stack() as stack:
        stack.send_signal(number)

        assert _end(stack) == (0, "")
        assert not survivors(mark)


def test_a_worker_that_does_not_listen_holds_up_the_end_for_less_than_3_seconds(
    monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setenv("CABRANK_TEST_WORKERS", "trap '' TERM; while :; do sleep 0.05; done")
    with _stack() as stack:
        begun = time.monotonic()
        stack.terminate()

        assert _end(stack) == (0, "")
        assert time.monotonic() - begun < 3
        assert not survivors(mark)


def test_it_can_be_stopped_before_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CABRANK_TEST_SERVER", "echo not yet; exec sleep 60")
    with _stack(until="not yet") as stack:
        stack.send_signal(signal.SIGINT)

        assert _end(stack) == (0, "")


def test_the_kill_of_the_stack_leaves_nothing_behind(mark: str) -> None:
    with _stack() as stack:
        assert len(survivors(mark)) >= 6  # the stack, Valkey, sink, platform, server, workers

        stack.kill()

    assert eventually(lambda: not survivors(mark))


def test_the_end_of_a_program_ends_the_stack_and_is_named(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    monkeypatch.setenv("CABRANK_TEST_WORKERS", "echo no module named mail; exit 2")
    with _stack(until="no module named mail") as stack:
        assert _end(stack) == (1, "workers ended with exit code 2, so everything was stopped\n")
        assert not survivors(mark)


def test_the_end_of_redis_ends_the_stack_and_is_named(data_dir: Path) -> None:
    with _stack() as stack:
        with redis.Redis(unix_socket_path=str(data_dir / "valkey" / "valkey.sock")) as client:
            pid = client.info("server")["process_id"]

        os.kill(pid, signal.SIGKILL)

        assert _end(stack) == (1, "valkey ended by signal 9, so everything was stopped\n")


def test_what_redis_holds_is_there_at_the_next_start(data_dir: Path) -> None:
    with redis.Redis(unix_socket_path=str(data_dir / "valkey" / "valkey.sock")) as client:
        with _stack() as stack:
            client.set("job", "kept")
            stack.terminate()
            stack.wait()

        with _stack():
            assert client.get("job") == b"kept"


def test_two_stacks_do_not_share_a_data_folder(data_dir: Path) -> None:
    with _stack():
        assert _refusal_of_a_start() == (f"CABRANK_DATA_DIR: {data_dir} cannot be used (another stack runs on it)\n")


def test_a_data_folder_that_cannot_be_made_is_refused(data_dir: Path) -> None:
    data_dir.write_text("a file")

    assert _refusal_of_a_start() == f"CABRANK_DATA_DIR: {data_dir} cannot be used (file exists)\n"


def test_a_taken_port_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv("HTTP_ADDRESS", taken)

        assert _refusal_of_a_start() == (
            f"HTTP_ADDRESS: cannot listen on {taken} (address already in use)."
            " Stop what runs there, or set HTTP_ADDRESS to another address\n"
        )


def test_a_wrong_setting_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_ADDRESS", "nowhere")

    assert _refusal_of_a_start().startswith("GRPC_ADDRESS is 'nowhere', but must be a host and a port")
