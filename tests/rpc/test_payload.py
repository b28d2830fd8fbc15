"""A Struct says the same as JSON text, or is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cabrank.v1.queue_pb2 import EnqueueRequest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from server.engine.errors import InvalidValue
from server.engine.job import PAYLOAD_LIMIT
from server.rpc.errors import PayloadTooLarge
from server.rpc.payload import payload_text

EXACT = 2**53 - 1
names = st.text(max_size=5)
scalars = st.none() | st.booleans() | st.text() | st.integers(-EXACT, EXACT) | st.floats(-1e9, 1e9)
values = st.recursive(scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(names, each, max_size=3))


def in_struct(members: dict[str, Any]) -> EnqueueRequest:
    struct = Struct()
    struct.update(members)
    return EnqueueRequest(payload=struct)


@given(st.dictionaries(names, values, max_size=4))
def test_a_struct_is_converted_without_loss(members: dict[str, Any]) -> None:
    assert json.loads(payload_text(in_struct(members))) == members


@given(st.text())
def test_payload_json_is_taken_as_it_is(text: str) -> None:
    assert payload_text(EnqueueRequest(payload_json=text)) == text.encode()


def test_a_whole_number_stays_one() -> None:
    """A task that asks for an int would refuse 3.0."""
    assert payload_text(in_struct({"a": 3, "b": 3.5, "c": -0.0, "d": EXACT})) == (
        b'{"a":3,"b":3.5,"c":0,"d":9007199254740991}'
    )


@pytest.mark.parametrize("number", [EXACT + 1, -EXACT - 1, EXACT + 2, 1e300])
def test_a_number_that_may_have_been_another_is_refused(number: float) -> None:
    """2^53 + 1 has already become 2^53 when it arrives."""
    with pytest.raises(InvalidValue, match=r"payload\.a.*payload_json"):
        payload_text(in_struct({"a": number}))


def test_the_order_of_members_makes_no_difference() -> None:
    """A map has none, and a request that is sent again must be the same request."""
    names = [f"name-{n}" for n in range(50)]
    there, back = ({name: {name: 1, "x": 2} for name in order} for order in (names, reversed(names)))

    assert payload_text(in_struct(there)) == payload_text(in_struct(back))


def test_absent_is_an_object_without_fields() -> None:
    assert payload_text(EnqueueRequest()) == b"{}"


def test_the_limit_is_that_of_the_json_text() -> None:
    """Also for a Struct, whose own form may be longer: a list of small numbers takes five times as much."""
    shell = len('{"a":""}')
    fits, too_large = "x" * (PAYLOAD_LIMIT - shell), "x" * (PAYLOAD_LIMIT - shell + 1)
    assert len(payload_text(in_struct({"a": fits}))) == PAYLOAD_LIMIT
    with pytest.raises(PayloadTooLarge):
        payload_text(in_struct({"a": too_large}))

    numbers = in_struct({"a": [1] * (PAYLOAD_LIMIT // 2 - 5)})
    assert numbers.payload.ByteSize() > 5 * PAYLOAD_LIMIT
    assert len(payload_text(numbers)) <= PAYLOAD_LIMIT
