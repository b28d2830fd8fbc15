"""What the messages can say, and what they cannot."""

from collections.abc import Sequence

import pytest
from cabrank.platform.v1.platform_pb2 import DESCRIPTOR as PLATFORM
from cabrank.v1.email_pb2 import DESCRIPTOR as EMAIL
from cabrank.v1.job_pb2 import Backoff, Job
from cabrank.v1.queue_pb2 import DESCRIPTOR as QUEUE
from cabrank.v1.queue_pb2 import EnqueueRequest
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import Parse

_SERVICES = [*QUEUE.services_by_name.values(), *EMAIL.services_by_name.values()]


@pytest.mark.parametrize(
    ("service", "rpcs"),
    [
        (
            QUEUE.services_by_name["QueueService"],
            {"Enqueue", "EnqueueBatch", "GetJob", "WaitJob", "CancelJob"},
        ),
        (
            EMAIL.services_by_name["EmailService"],
            {"SendVerificationCode", "SendPasswordReset", "SendWelcomeEmail", "SendPaymentReceipt"},
        ),
        (PLATFORM.services_by_name["PlatformService"], {"GetUser", "GetCourse", "GetPayment"}),
    ],
    ids=["QueueService", "EmailService", "PlatformService"],
)
def test_a_service_offers_what_was_promised(service: ServiceDescriptor, rpcs: set[str]) -> None:
    assert rpcs <= set(service.methods_by_name)


def test_every_call_that_creates_a_job_can_carry_an_idempotency_key() -> None:
    """And its answer tells whether the key found a job that was there before."""
    creating = [
        method for service in _SERVICES for method in service.methods if "created" in method.output_type.fields_by_name
    ]

    assert len(creating) == 5  # Enqueue and the four mails
    assert all("idempotency_key" in method.input_type.fields_by_name for method in creating)
    assert all("job" in method.output_type.fields_by_name for method in creating)


@pytest.mark.parametrize(
    ("contradiction", "names"),
    [
        ('{"task": "t", "delay": "5s", "runAt": "2030-01-01T00:00:00Z"}', ("delay", "run_at")),
        ('{"task": "t", "payload": {}, "payloadJson": "{}"}', ("payload", "payload_json")),
    ],
    ids=["delay and run_at", "payload and payload_json"],
)
def test_a_contradiction_reaches_the_server_whole(contradiction: str, names: tuple[str, str]) -> None:
    """So that it can be refused: in a oneof, grpcurl and most clients drop the first of the two without a word."""
    asked = Parse(contradiction, EnqueueRequest())

    assert set(names) <= {field.name for field, _ in asked.ListFields()}


@pytest.mark.parametrize(
    ("said", "absent"),
    [
        (EnqueueRequest(priority=0), EnqueueRequest()),
        (EnqueueRequest(backoff=Backoff(jitter=0)), EnqueueRequest(backoff=Backoff())),
        (EnqueueRequest(payload_json=""), EnqueueRequest()),
    ],
    ids=["priority", "jitter", "payload_json"],
)
def test_a_zero_that_means_something_is_not_the_same_as_nothing(said: EnqueueRequest, absent: EnqueueRequest) -> None:
    assert EnqueueRequest.FromString(said.SerializeToString()) != absent


@pytest.mark.parametrize(
    "name",
    [
        "queue",
        "task",
        "payload_json",
        "labels",
        "priority",
        "unique_key",
        "expires_at",
        "max_attempts",
        "backoff",
        "timeout",
        "retention",
    ],
)
def test_what_was_asked_stands_under_the_same_name_on_the_job(name: str) -> None:
    asked, told = EnqueueRequest.DESCRIPTOR.fields_by_name[name], Job.DESCRIPTOR.fields_by_name[name]

    assert _kind(asked) == _kind(told)


def _kind(field: FieldDescriptor) -> tuple[object, ...]:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:  # each message has a map entry of its own
        return ("map", *(_kind(inner) for inner in entry.fields))
    return field.type, field.is_repeated, entry and entry.full_name


def test_the_contract_needs_nothing_but_protobuf_itself(contract: Sequence[FileDescriptorProto]) -> None:
    """Callers in any language compile it without other people's .proto files."""
    own = {file.name for file in contract}
    others = {name for file in contract for name in file.dependency} - own

    assert {name for name in others if not name.startswith("google/protobuf/")} == set()
