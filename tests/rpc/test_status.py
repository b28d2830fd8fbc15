"""The table of refusals against the contract, and against everything that can be refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cabrank.v1.error_pb2 import ErrorReason

from server.catalog import CatalogError, InvalidCatalog
from server.engine.errors import EngineError, LeaseLost
from server.rpc.errors import ItemRefused, OutOfTime, RequestError
from server.rpc.status import DOMAIN, ROWS, status_of

# Never on the way to a caller: the first stops the start, the second is told to workers.
NOT_FOR_CALLERS = {InvalidCatalog, LeaseLost}
# Told by what they stand for: the cause, and gRPC's own status.
NO_ROW = {ItemRefused, OutOfTime}


def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
    """The errors that are raised, not those that only group them."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


@pytest.mark.parametrize("root", [EngineError, CatalogError, RequestError])
def test_every_refusal_has_a_row(root: type[Exception]) -> None:
    assert set(leaves(root)) - NOT_FOR_CALLERS - NO_ROW <= ROWS.keys()


def test_the_reasons_are_those_of_the_contract() -> None:
    """None that it does not know, and none that is never told."""
    contract = {value.name.removeprefix("ERROR_REASON_") for value in ErrorReason.DESCRIPTOR.values}

    assert {row.reason for row in ROWS.values()} == contract - {"UNSPECIFIED", "INTERNAL"}


def test_an_error_without_a_row_is_a_bug() -> None:
    assert status_of(KeyError("email")) is None
    assert status_of(ItemRefused(3, KeyError("email"))) is None


def test_the_domain_is_ours() -> None:
    assert DOMAIN == "cabrank"
