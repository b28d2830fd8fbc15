"""A program that ends with the process that started it, however that process ends.

`tethered(argv)` is the command line to start in place of `argv`: this file runs first, ties the knot
and becomes the program. Not `preexec_fn`, which runs Python in the fork of a process with threads.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_SECONDS = 0.25


def tethered(argv: Sequence[str]) -> list[str]:
    """`argv` on a tether; to be started in a session of its own, by a thread that lives as long as it.

    The kernel counts the end of the starting *thread* as the end of the parent.
    """
    # -I -S: nothing of site-packages is needed, and the knot is tied 40 ms sooner.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def become(parent: int, argv: Sequence[str]) -> None:
    """Turn into the program; the kernel kills it with its parent (Linux). Does not return."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:  # else it died before the knot was tied
        os.execvp(argv[0], list(argv))  # noqa: S606  (no shell is what is wanted)


def watch(parent: int, argv: Sequence[str]) -> int:
    """Run the program beside this process and kill their session when the parent is gone (elsewhere)."""
    program = subprocess.Popen(argv)  # noqa: S603  (the caller's own command line)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: program.send_signal(number))
    while os.getppid() == parent:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return program.wait(timeout=_LOOK_EVERY_SECONDS)
    os.killpg(0, signal.SIGKILL)
    return 1


def main(parent: int, argv: Sequence[str]) -> int:
    """Exit code 127, as a shell has it, when there is no such program."""
    try:
        if sys.platform != "linux":
            return watch(parent, argv)
        become(parent, argv)
    except OSError as fault:
        print(f"{argv[0]}: {fault.strerror}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
