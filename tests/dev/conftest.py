from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.dev.survivors import MARK, eventually, survivors


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What every process of the test inherits. No test may leave one behind."""
    mark = uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield mark
    assert eventually(lambda: not survivors(mark)), survivors(mark)
