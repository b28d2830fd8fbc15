"""The one place where stubs are made: each .proto below this folder becomes typed Python.

`python protos/generate.py` does it for the checkout; the client's build loads this file and does the same.
"""

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

_PROTOS = Path(__file__).resolve().parent
_CLIENT = _PROTOS.parent / "clients" / "python"


def generate(target: Path) -> None:
    """Makes all stubs anew below `target` and removes those whose .proto is gone.

    Raises subprocess.CalledProcessError when protoc refuses the contract; `target` is then as it was.
    """
    with TemporaryDirectory(dir=target, prefix=".stubs-") as made:
        _run_protoc(Path(made))
        fresh = {stub.relative_to(made) for stub in _stubs_below(Path(made))}
        for stub in fresh:
            (target / stub).parent.mkdir(parents=True, exist_ok=True)
            # Replaced, not rewritten: whoever imports it meanwhile sees the old one or the new one, whole.
            Path(made, stub).replace(target / stub)
    for stub in _stubs_below(target):
        if stub.relative_to(target) not in fresh:
            stub.unlink()


def _run_protoc(out: Path) -> None:
    protos = [str(proto.relative_to(_PROTOS)) for proto in sorted(_PROTOS.glob("cabrank/**/*.proto"))]
    plugins = [f"--plugin={_executable(name)}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}={out}" for kind in ("python_out", "grpc_python_out")]
    typings = [f"--{kind}=quiet:{out}" for kind in ("mypy_out", "mypy_grpc_out")]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    subprocess.run([*protoc, *plugins, *outputs, *typings, *protos], cwd=_PROTOS, check=True)  # noqa: S603 - nothing of it comes from outside


def _executable(name: str) -> Path:
    """Where mypy-protobuf was installed, by its own record: the bin of a venv need not be on PATH."""
    installed = metadata.files("mypy-protobuf") or []
    return next(Path(str(file.locate())).resolve() for file in installed if file.stem == name)


def _stubs_below(folder: Path) -> list[Path]:
    return [*folder.glob("cabrank/**/*_pb2*.py"), *folder.glob("cabrank/**/*_pb2*.pyi")]


if __name__ == "__main__":
    generate(_CLIENT)
