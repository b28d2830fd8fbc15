"""The supervision of child processes, with real ones."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.dev.errors import ProgramEnded
from server.dev.processes import Children, Program
from tests.dev.survivors import eventually, survivors


def _shell(name: str, script: str, *, grace: float = 5) -> Program:
    return Program(name=name, argv=["sh", "-c", script], grace=grace)


async def _said(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Wait until the children have said it; what they said is taken."""
    heard = ""
    async with asyncio.timeout(10):
        while text not in heard:
            await asyncio.sleep(0.01)
            heard += capsys.readouterr().out


async def test_lines_carry_the_name_of_their_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors, empty lines and a last line without its end as well."""
    async with Children() as children:
        await children.start(_shell("server", "echo started; echo; echo fault >&2; printf 'last words'"))
        with pytest.raises(ProgramEnded):
            await children.first_end()

    assert capsys.readouterr().out.splitlines() == [
        "  server | started",
        "  server | ",
        "  server | fault",
        "  server | last words",
    ]


async def test_a_program_has_its_own_variables_on_top_of_ours(capsys: pytest.CaptureFixture[str], mark: str) -> None:
    async with Children() as children:
        script = 'echo "$CABRANK_TEST_MARK $REDIS_URL"'
        await children.start(Program(name="it", argv=["sh", "-c", script], environment={"REDIS_URL": "unix:///a"}))
        with pytest.raises(ProgramEnded):
            await children.first_end()

    assert f"{mark} unix:///a" in capsys.readouterr().out


async def test_the_last_stage_is_stopped_before_the_first_is_touched(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The workers may still need Redis and the mail server for what they have begun."""
    script = "trap 'sleep 0.2; echo {0} >> {1}; exit' TERM; echo {0} is up; while :; do sleep 0.01; done"
    journal = tmp_path / "journal"
    async with Children() as children:
        for name in ("first", "second", "third"):
            await children.start(_shell(name, script.format(name, journal)))
            await _said(capsys, f"{name} is up")

    assert journal.read_text().split() == ["third", "second", "first"]


async def test_programs_of_one_stage_are_stopped_together(capsys: pytest.CaptureFixture[str]) -> None:
    script = "trap '' TERM; echo {} is up; while :; do sleep 0.01; done"
    async with Children() as children:
        await children.start(*(_shell(name, script.format(name), grace=1) for name in "abc"))
        await _said(capsys, "c is up")
        begun = time.monotonic()

    assert time.monotonic() - begun < 2.5  # three graces, one after the other, would be 3 s


async def test_whatever_outlives_the_grace_is_killed_with_its_children(
    capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    script = "trap '' TERM; sleep 60 & echo up; while :; do sleep 0.01; done"
    async with Children() as children:
        await children.start(_shell("deaf", script, grace=0.1))
        await _said(capsys, "up")
        assert eventually(lambda: "sleep 60 " in survivors(mark))

    assert eventually(lambda: not survivors(mark))


async def test_what_a_program_leaves_behind_is_killed(capsys: pytest.CaptureFixture[str], mark: str) -> None:
    """A master that dies does not always take its workers along."""
    async with Children() as children:
        await children.start(_shell("master", "sleep 60 & echo up"))
        with pytest.raises(ProgramEnded):
            await children.first_end()
        assert eventually(lambda: survivors(mark) == ["sleep 60 "])

    assert eventually(lambda: not survivors(mark))


async def test_the_end_of_one_program_names_it_and_its_exit_code() -> None:
    async with Children() as children:
        await children.start(_shell("sink", "sleep 60"), _shell("server", "sleep 60"))
        await children.start(_shell("workers", "sleep 60 & exit 3"))

        with pytest.raises(ProgramEnded, match="workers ended with exit code 3, so everything was stopped"):
            await children.first_end()


async def test_a_program_that_was_killed_is_reported_with_the_signal() -> None:
    async with Children() as children:
        await children.start(_shell("workers", "kill -KILL $$"))

        with pytest.raises(ProgramEnded, match="workers ended by signal 9"):
            await children.first_end()


def test_the_kill_of_the_supervisor_leaves_nothing_behind(mark: str) -> None:
    script = """
import asyncio
from server.dev.processes import Children, Program

async def main():
    async with Children() as children:
        await children.start(Program(name="a", argv=["sleep", "60"]))
        await children.start(Program(name="b", argv=["sleep", "61"]))
        print("up", flush=True)
        await children.first_end()

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"up\n"
        assert eventually(lambda: {"sleep 60 ", "sleep 61 "} <= set(survivors(mark)))

        supervisor.kill()

    assert eventually(lambda: not survivors(mark))
