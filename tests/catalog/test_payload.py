"""Reading a payload: the typed value, or everything that is wrong with it."""

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.catalog import SECRET, EmailAddress, InvalidCatalog, InvalidPayload, Line, Payload, Task

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Person(Payload, frozen=True):
    name: Line
    email: EmailAddress | None = None


class Order(Payload, frozen=True):
    user: Person
    count: Annotated[int, msgspec.Meta(ge=1, le=10)]
    others: list[Person] = msgspec.field(default_factory=list)
    second: Person | None = None
    kind: Literal["gift", "sale"] = "sale"
    kinds: list[Literal["gift", "sale"]] = msgspec.field(default_factory=list)
    extra: Any = None
    pin: Annotated[str, SECRET] = ""


ORDER = Task(name="shop.order", queue="shop", payload=Order)
GOOD = b'{"user":{"name":"Ada"},"count":1}'


def wrong(payload_json: bytes, task: Task[Any] = ORDER) -> dict[str, str]:
    """What is wrong with each field."""
    with pytest.raises(InvalidPayload) as refused:
        task.check(payload_json)
    return {violation.field: violation.message for violation in refused.value.violations}


def test_a_payload_becomes_a_typed_value() -> None:
    order = ORDER.decode(b'{"user":{"name":"Ada","email":"ada@example.org"},"count":3}')

    assert order == Order(user=Person(name=Line("Ada"), email=EmailAddress("ada@example.org")), count=3)
    assert isinstance(order.user.email, EmailAddress)


def test_every_wrong_field_is_named_with_its_path() -> None:
    payload = b"""{
        "user": {"name": "", "email": "ada", "age": 36},
        "count": 11,
        "others": [{"name": "Bob"}, {"name": 7}],
        "second": {},
        "kind": "loan",
        "kinds": ["gift", "loan"],
        "amount": 2
    }"""

    assert wrong(payload) == {
        "payload.user.name": "must have 1 to 100 characters, not 0",
        "payload.user.email": "must be an email address such as ada@example.org: it must have one @",
        "payload.user.age": "is not a field of this task",
        "payload.count": "must be `int` <= 10",
        "payload.others[1].name": "must be a string",
        "payload.second.name": "is missing",
        "payload.kind": "must be one of the allowed values",
        "payload.kinds[1]": "must be one of the allowed values",
        "payload.amount": "is not a field of this task: did you mean count?",
    }


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"count":NaN}', "is not JSON"),
        (b'{"count":Infinity}', "is not JSON"),
        (b'{"count":1,}', "is not JSON"),
        (b'{"\xff":1}', "is not UTF-8 text"),
        (b"[]", "must be `object`, not `array`"),
        (b"null", "must be `object`, not `null`"),
        (b"[" * 100_000, "must be `object`, not `array`"),
    ],
)
def test_what_is_no_json_object_is_refused_as_a_whole(payload: bytes, message: str) -> None:
    [(field, said)] = wrong(payload).items()

    assert field == "payload"
    assert said.startswith(message)


@pytest.mark.parametrize(
    "name",
    [b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf5\x80\x80\x80"', b'"a\nb"'],
)
def test_what_is_no_text_is_refused(name: bytes) -> None:
    """Halves of surrogate pairs and overlong forms: what follows would read them differently, or not at all."""
    assert wrong(b'{"user":{"name":%b},"count":1}' % name)
    assert wrong(b'{"user":{"name":"Ada"},"count":1,"extra":{%b:%b}}' % (name, name))


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999", b"01", b"1" * 5000])
def test_a_number_that_no_number_holds_is_refused(number: bytes) -> None:
    assert wrong(b'{"user":{"name":"Ada"},"count":%b}' % number)
    assert wrong(b'{"user":{"name":"Ada"},"count":1,"extra":[%b]}' % number)


@pytest.mark.parametrize("nested", [b"[" * 20_000 + b"]" * 20_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000])
def test_nesting_without_end_is_refused(nested: bytes) -> None:
    assert wrong(b'{"user":{"name":"Ada"},"count":1,"extra":%b}' % nested) == {"payload": "is nested too deeply"}


def test_a_field_that_is_given_twice_is_refused() -> None:
    """The worker would believe one of them, and another reader of the payload perhaps the other."""
    assert wrong(b'{"user":{"name":"Ada"},"count":1,"count":2}') == {"payload.count": "is given more than once"}
    assert wrong(b'{"user":{"name":"Ada","name":"Eve"},"count":1}') == {"payload.user.name": "is given more than once"}
    assert wrong(b'{"user":{"name":"Ada"},"count":1,"extra":[{"a":1,"\\u0061":2}]}') == {
        "payload.extra": "holds an object with the same name twice"
    }


def test_the_names_in_a_refusal_are_short_and_on_one_line() -> None:
    [name] = list(wrong(b'{"user":{"name":"Ada"},"count":1,"%b":1}' % (b"x\\n\\u001b" * 500)))

    assert len(name) < 600
    assert name.isprintable()


def test_a_refusal_stays_short_when_everything_is_wrong() -> None:
    many = {f"field{number}": number for number in range(20_000)}

    assert len(wrong(json.dumps(many).encode())) == 50
    assert len(wrong(json.dumps({"user": many, "second": many}).encode())) == 50


def test_a_refusal_never_repeats_a_value() -> None:
    canary = b"hunter2"
    for field in (b"name", b"email", b"count", b"kind", b"pin", b"extra", b"others", b"second"):
        payload = b'{"user":{"name":"\\n%b","email":"%b"},"kind":"%b","%b":"%b","x":"%b"}' % (
            canary,
            canary,
            canary,
            field,
            canary,
            canary,
        )
        assert "hunter2" not in str(wrong(payload))


def test_secrets_are_masked_and_the_rest_stays_as_it_was() -> None:
    masked = ORDER.mask(b'{"pin": "1234","user" :{"name": "Ada"}, "count":1.0e0}')

    assert masked == b'{"pin":"***","user":{"name": "Ada"},"count":1.0e0}'


def test_a_secret_that_is_given_twice_is_masked_both_times() -> None:
    assert b"123" not in ORDER.mask(b'{"pin":"1234","count":1,"pin":"1235"}')
    assert b"123" not in ORDER.mask(b'{"\\u0070in":"1234"}')


@pytest.mark.parametrize("payload", [b"", b'"1234"', b'[{"pin":"1234"}]', b'{"pin":"1234"', b'{"pin":1234}\xff'])
def test_nothing_is_shown_of_what_cannot_be_read(payload: bytes) -> None:
    assert ORDER.mask(payload) == b'"***"'


def test_a_field_that_holds_a_secret_is_masked_whole() -> None:
    class Card(Payload, frozen=True):
        number: Annotated[str, SECRET]
        next: "Card | None" = None

    class Checkout(Payload, frozen=True):
        cards: list[Card]
        total: int

    globals()["Card"] = Card  # msgspec looks names in annotations up in the module
    task = Task(name="shop.checkout", queue="shop", payload=Checkout)

    assert task.mask(b'{"cards":[{"number":"4111"}],"total":1}') == b'{"cards":"***","total":1}'


def test_a_payload_without_secrets_is_shown_as_it_is() -> None:
    class Ping(Payload, frozen=True):
        text: str

    assert Task(name="ping", queue="shop", payload=Ping).mask(b' {"text": "x"}') == b' {"text": "x"}'


class Lax(msgspec.Struct, frozen=True):
    name: str


class HoldsLax(Payload, frozen=True):
    inner: list[Lax] | None = None


class Money:
    """A type that msgspec does not know."""


class HoldsMoney(Payload, frozen=True):
    price: Money


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (Lax, "the payload of task 'a.b' holds Lax, which accepts unknown fields: derive it from Payload"),
        (HoldsLax, "the payload of task 'a.b' holds Lax, which accepts unknown fields: derive it from Payload"),
        (HoldsMoney, "the payload of task 'a.b' holds Money, which is neither a type that msgspec knows nor a Text"),
        (dict, "the payload of task 'a.b' is dict, but must be a Payload"),
    ],
)
def test_a_payload_type_that_lets_things_slip_by_is_refused(payload: Any, message: str) -> None:
    with pytest.raises(InvalidCatalog) as refused:
        Task(name="a.b", queue="a", payload=payload)
    assert str(refused.value) == message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "email", "x"]), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["user", "count", "others", "second", "kind", "extra", "pin", "colour"])
PEOPLE = st.fixed_dictionaries({"name": st.just("Ada")}, optional={"email": VALUES, "age": VALUES})
NEARLY = st.fixed_dictionaries(
    {"user": PEOPLE, "count": st.integers(0, 12) | VALUES},
    optional={"second": PEOPLE | VALUES, "extra": VALUES, "others": st.lists(PEOPLE, max_size=3)},
)


@relaxed
@given((NEARLY | st.dictionaries(FIELDS, VALUES)).map(json.dumps))
def test_check_accepts_exactly_what_decode_accepts(text: str) -> None:
    payload = text.encode()
    accepted = True
    try:
        ORDER.decode(payload)
    except InvalidPayload as refused:
        accepted = False
        fields = {violation.field for violation in refused.violations}
    if accepted:
        ORDER.check(payload)
    else:
        assert set(wrong(payload)) == fields != set()


@relaxed
@given(
    st.binary(max_size=60)
    | st.tuples(st.just(GOOD), st.integers(0, len(GOOD)), st.binary(max_size=4)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    )
)
def test_any_bytes_are_accepted_or_refused_and_never_an_accident(payload: bytes) -> None:
    try:
        order = ORDER.decode(payload)
    except InvalidPayload as refused:
        text = str(refused)
        assert text.isprintable()
    else:
        assert isinstance(order, Order)


@relaxed
@given(st.text())
def test_a_text_comes_out_as_it_went_in(text: str) -> None:
    payload = json.dumps({"user": {"name": "Ada"}, "count": 1, "extra": text}).encode()

    try:
        order = ORDER.decode(payload)
    except InvalidPayload:
        with pytest.raises(UnicodeEncodeError):
            text.encode()
    else:
        assert order.extra == text
