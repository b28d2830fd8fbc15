"""What other teams install: `cabrank` from clients/python, which stands alone."""

import subprocess
import sys
import tarfile
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

_CLIENT = Path(__file__).parents[2] / "clients" / "python"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    folder = tmp_path_factory.mktemp("source")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=_CLIENT, check=True, capture_output=True)
    (archive,) = folder.glob("cabrank-*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """The wheel that pip builds from the source distribution alone."""
    flags = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *flags, str(source), "-w", str(source.parent)]
    subprocess.run(command, check=True, capture_output=True)
    (archive,) = source.parent.glob("cabrank-*.whl")
    return archive


def test_the_source_carries_the_contract_and_no_stub(source: Path) -> None:
    with tarfile.open(source) as archive:
        names = archive.getnames()

    assert any(name.endswith("/protos/cabrank/v1/queue.proto") for name in names)
    assert [name for name in names if "_pb2" in name] == []


def test_the_wheel_carries_stubs_their_types_and_nothing_of_the_service(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())

    kinds = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
    stems = ("v1/job", "v1/queue", "v1/email", "v1/error", "platform/v1/platform")
    assert {f"cabrank/{stem}{kind}" for stem in stems for kind in kinds} <= names
    assert "cabrank/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"cabrank", "cabrank-0.1.0.dist-info"}


def test_it_needs_grpcio_and_protobuf_and_nothing_else(wheel: Path) -> None:
    metadata = message_from_bytes(ZipFile(wheel).read("cabrank-0.1.0.dist-info/METADATA"))

    assert set(metadata.get_all("Requires-Dist", [])) == {"grpcio<2,>=1.80.1", "protobuf<8,>=6.31.1"}


def test_its_stubs_load_from_the_wheel(wheel: Path) -> None:
    """Away from the checkout, whose editable install comes later on the path."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from cabrank.v1 import email_pb2_grpc, queue_pb2_grpc\n"
        "from cabrank.platform.v1 import platform_pb2_grpc\n"
        "print(queue_pb2_grpc.__file__)"
    )

    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, wheel],
        cwd=wheel.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert loaded.stderr == ""
    assert loaded.stdout.startswith(str(wheel))
