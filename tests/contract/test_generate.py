"""protos/generate.py makes the stubs, wherever it is run from."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_CLIENT = _ROOT / "clients" / "python"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which no stub was made yet."""
    shutil.copytree(_ROOT / "protos", tmp_path / "protos")
    (tmp_path / "clients" / "python").mkdir(parents=True)
    return tmp_path


def _generate(checkout: Path) -> "subprocess.CompletedProcess[bytes]":
    """As in a venv that nobody activated: its bin is not on PATH."""
    command = [sys.executable, str(checkout / "protos" / "generate.py")]
    return subprocess.run(command, env={"PATH": "/nonexistent"}, capture_output=True, check=False)


def _files(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_every_proto_gets_messages_services_and_types(checkout: Path) -> None:
    protos = [proto.relative_to(checkout / "protos") for proto in checkout.glob("protos/cabrank/**/*.proto")]

    _generate(checkout)

    kinds = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
    assert set(_files(checkout / "clients" / "python")) == {
        proto.with_name(proto.stem + kind) for proto in protos for kind in kinds
    }


def test_the_stubs_in_use_are_those_of_the_contract(checkout: Path) -> None:
    _generate(checkout)

    made = _files(checkout / "clients" / "python")
    assert made == {stub: (_CLIENT / stub).read_bytes() for stub in made}


def test_a_stub_goes_with_its_proto_and_hand_written_files_stay(checkout: Path) -> None:
    _generate(checkout)
    package = checkout / "clients" / "python" / "cabrank"
    (package / "client.py").touch()
    (checkout / "protos" / "cabrank" / "v1" / "email.proto").unlink()

    _generate(checkout)

    assert list(package.rglob("email_pb2*")) == []
    assert (package / "client.py").exists()
    assert (package / "v1" / "queue_pb2.py").exists()


def test_a_contract_that_protoc_refuses_leaves_the_stubs_as_they_were(checkout: Path) -> None:
    _generate(checkout)
    before = _files(checkout / "clients" / "python")
    with (checkout / "protos" / "cabrank" / "v1" / "job.proto").open("a") as job:
        job.write("message Job {}")

    outcome = _generate(checkout)

    assert outcome.returncode != 0
    assert b'"Job" is already defined' in outcome.stderr
    assert _files(checkout / "clients" / "python") == before
