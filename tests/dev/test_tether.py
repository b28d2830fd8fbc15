"""A tethered program ends with its parent; both knots are tried, whatever system this is."""

import os
import signal
import subprocess
import sys

import pytest

from server.dev.tether import tethered
from tests.dev.survivors import eventually, survivors

_BY_KERNEL = "from server.dev.tether import tethered; argv = tethered(['sleep', '60'])"
_BY_WATCHING = """
import os, sys
code = "import sys; from server.dev.tether import watch; sys.exit(watch(int(sys.argv[1]), ['sleep', '60']))"
argv = [sys.executable, "-c", code, str(os.getpid())]
"""
_PARENT = "import subprocess; subprocess.Popen(argv, start_new_session=True).wait()"


def _watched(*argv: str) -> list[str]:
    code = "import sys; from server.dev.tether import watch; sys.exit(watch(int(sys.argv[1]), sys.argv[2:]))"
    return [sys.executable, "-c", code, str(os.getpid()), *argv]


@pytest.mark.parametrize("knot", [_BY_KERNEL, _BY_WATCHING], ids=["kernel", "watching"])
def test_a_program_ends_with_a_parent_that_is_killed(knot: str, mark: str) -> None:
    with subprocess.Popen([sys.executable, "-c", f"{knot}\n{_PARENT}"]) as parent:
        assert eventually(lambda: "sleep 60 " in survivors(mark))

        parent.kill()

    assert eventually(lambda: not survivors(mark))


def test_the_program_takes_the_place_of_its_tether() -> None:
    """So that signals and exit codes are the program's own."""
    with subprocess.Popen(tethered(["sh", "-c", "echo $$; exit 7"]), stdout=subprocess.PIPE) as process:
        said, _ = process.communicate()

    assert int(said) == process.pid
    assert process.returncode == 7


def test_a_watched_program_gets_the_signals_and_gives_its_exit_code(mark: str) -> None:
    script = "trap 'exit 7' TERM; while :; do sleep 0.01; done"
    with subprocess.Popen(_watched("sh", "-c", script), start_new_session=True) as process:
        assert eventually(lambda: "sleep 0.01 " in survivors(mark))

        process.send_signal(signal.SIGTERM)

    assert process.returncode == 7


def test_a_program_that_is_not_there_is_named() -> None:
    done = subprocess.run(tethered(["./no-such-program"]), capture_output=True, text=True, check=False)

    assert done.returncode == 127
    assert done.stderr == "./no-such-program: No such file or directory\n"


def test_a_program_does_not_start_when_its_parent_is_gone_already() -> None:
    """The parent could have died before the kernel was told."""
    argv = tethered(["echo", "started"])
    argv[argv.index(str(os.getpid()))] = "1"

    assert subprocess.run(argv, capture_output=True, check=False).stdout == b""
