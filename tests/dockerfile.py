"""The Dockerfile, read and followed without Docker.

    python -m tests.dockerfile /tmp/image

follows it with its real RUN lines below a folder; what is left then starts the server, as the image would:

    cd /tmp/image/srv/cabrank && REDIS_HOST=localhost /tmp/image/opt/cabrank/bin/python -m server
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
_NEEDS_ROOT = "useradd"


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: `COPY`, and what stands behind it on a single line."""

    word: str
    text: str

    def words(self) -> list[str]:
        return shlex.split(self.text)

    def exec_form(self) -> list[str]:
        """The command of a CMD or HEALTHCHECK, which is written as a JSON list."""
        command: list[str] = json.loads(self.text[self.text.index("[") :])
        return command


def stages() -> list[list[Step]]:
    """The steps of each stage, its FROM first."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    steps = [Step(*line.split(maxsplit=1)) for line in lines if line]
    starts = [at for at, step in enumerate(steps) if step.word == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], len(steps)], strict=True)]


def context() -> Iterator[Path]:
    """The files that Docker would be sent, relative to the checkout: those that .dockerignore leaves."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    for folder in (name for name in os.listdir(ROOT) if not name.startswith(".")):
        place = ROOT / folder
        for path in place.rglob("*") if place.is_dir() else [place]:
            if path.is_file() and not _ignored(path.relative_to(ROOT), rules):
                yield path.relative_to(ROOT)


def follow(image: Path, *, run: bool) -> None:
    """Do below `image` what the Dockerfile does below `/`; without `run`, the files of the last stage alone."""
    for stage in stages() if run else stages()[-1:]:
        here = image
        for step in stage:
            match step.word:
                case "WORKDIR":
                    here = image / step.text.lstrip("/")
                    here.mkdir(parents=True, exist_ok=True)
                case "COPY" if "--from=build" not in step.words():  # with it: the stages share one folder here
                    _copy(*step.words(), here=here)
                case "RUN" if run and _NEEDS_ROOT not in step.text:
                    _run(step.text, image, here)


def _copy(*words: str, here: Path) -> None:
    *sources, target = words
    for source in sources:
        copied = [path for path in context() if path.is_relative_to(source)]
        if not copied:
            raise FileNotFoundError(f"COPY {source}: the context has no such file")
        for path in copied:
            inner = path.name if path == Path(source) else path.relative_to(source)
            place = here / target / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, place)


def _run(text: str, image: Path, here: Path) -> None:
    # The checkout's pip, as any other, installs into the environment that --python names.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-ec", text.replace("/opt/", f"{image}/opt/")], cwd=here, env=environment, check=True)


def _ignored(path: Path, rules: list[str]) -> bool:
    """The last rule that fits the path, or a folder above it, decides."""
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_fits(place, pattern) for place in (path, *path.parents)):
            ignored = not rule.startswith("!")
    return ignored


def _fits(path: Path, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatch(path.name, pattern.removeprefix("**/"))
    return len(path.parts) == len(PurePosixPath(pattern).parts) and path.match(pattern)


if __name__ == "__main__":
    follow(Path(sys.argv[1]).resolve(), run=True)
