"""buf, and the contract as buf reads it: descriptors with their comments, which the stubs leave out."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

_ROOT = Path(__file__).parents[2]
_BUF = Path(sys.executable).with_name("buf")

Buf = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def buf() -> Buf:
    """Runs buf with the given arguments at the root of the checkout."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([_BUF, *arguments], cwd=_ROOT, capture_output=True, check=False)

    return run


@pytest.fixture(scope="session")
def contract(buf: Buf) -> Sequence[FileDescriptorProto]:
    """The project's own .proto files."""
    built = buf("build", "protos", "--as-file-descriptor-set", "--exclude-imports", "-o", "-")
    assert built.returncode == 0, built.stderr.decode()
    return FileDescriptorSet.FromString(built.stdout).file
