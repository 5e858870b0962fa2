"""botocore is the oracle, for every operation that is built, and those of AWS Batch that are only routed: what its
serialisers send we read, and what we answer its parsers read. Documents are random, made from botocore's own models; a
new operation is covered as soon as it is built."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.api.operations import OPERATIONS as BUILT
from batchyard.api.services import SERVICES
from batchyard.wire.messages import WireError
from tests.wire import oracle
from tests.wire.oracle import OPERATIONS, ROUTER

SEEDS = st.integers(0, 2**32)
SHARES = st.sampled_from([0.15, 0.5, 1.0])
REQUEST_ID = "7d4c0f7e-3f0c-4d43-9a58-0e6c6c2c1f11"
XML = ("query", "ec2")
# What XML can hold: others are replaced (test_xml).
XML_TEXTS = (*(text for text in oracle.TEXTS if "\x00" not in text), " a \r\n\t<&>]]> ")
# Shapes that no built operation has add nothing but time; a stream of events has frames (test_event_stream).
TRIED = [key for key in OPERATIONS if key[0] == "batch" or (key in BUILT and key != ("logs", "StartLiveTail"))]


def test_all_that_is_built_or_served_is_tried_here() -> None:
    assert set(OPERATIONS) >= set(BUILT)
    assert set(BUILT) - set(TRIED) == {("logs", "StartLiveTail")}
    assert set(oracle.SERVICES) >= set(SERVICES)


def as_sent(shape: Any, value: Any, protocol: str) -> Any:
    """`value` as our documents have it: times in seconds, and without what forms cannot say (empty structures and maps,
    and in `ec2` empty lists)."""
    if shape.type_name == "structure":
        inner = {name: as_sent(shape.members[name], each, protocol) for name, each in value.items()}
        unsaid = {name for name, each in inner.items() if is_unsaid(shape.members[name], each, protocol)}
        if protocol in XML:
            unsaid |= {name for name, each in inner.items() if each == [] != value[name]}  # of empty structures alone
        return {name: each for name, each in inner.items() if name not in unsaid}
    if shape.type_name == "list":
        inner_list = [as_sent(shape.member, each, protocol) for each in value]
        return [each for each in inner_list if not is_unsaid(shape.member, each, protocol)]
    if shape.type_name == "map":
        return {key: as_sent(shape.value, each, protocol) for key, each in value.items()}
    return value.timestamp() if shape.type_name == "timestamp" else value


def is_unsaid(shape: Any, value: Any, protocol: str) -> bool:
    kinds = {"ec2": ("structure", "map", "list"), "query": ("structure", "map")}.get(protocol, ())
    return shape.type_name in kinds and not value


def is_whole(shape: Any, sent: Any) -> bool:
    """Whether a document has all required members. One that is empty is not sent in a form."""
    if shape.type_name == "structure":
        return sent.keys() >= set(shape.required_members) and all(
            is_whole(shape.members[name], each) for name, each in sent.items()
        )
    if shape.type_name == "list":
        return all(is_whole(shape.member, each) for each in sent)
    return shape.type_name != "map" or all(is_whole(shape.value, each) for each in sent.values())


@pytest.mark.parametrize("key", TRIED, ids=".".join)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, members=SHARES)
def test_requests_of_botocore_are_read_as_sent(key: tuple[str, str], seed: int, members: float) -> None:
    operation = ROUTER.operations[key]
    model = oracle.botocore_operation(operation)
    if model.input_shape is None:
        return
    document = oracle.random_document(model.input_shape, seed, members=members)
    request = oracle.request_by_botocore(operation, document)
    signed = dict(request.headers) | {"authorization": f"Credential=AK/20260101/us-east-1/{key[0]}/aws4_request"}
    for headers in (request.headers, signed):
        assert ROUTER.match(request.method, request.raw_path, headers, request.body) is operation
    sent = as_sent(model.input_shape, document, model.service_model.protocol)
    if model.service_model.protocol in XML and not is_whole(model.input_shape, sent):
        with pytest.raises(WireError, match="is required"):
            operation.parse(request)
    else:
        assert operation.parse(request) == sent


@pytest.mark.parametrize("key", TRIED, ids=".".join)
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, members=SHARES)
def test_results_reach_botocore_as_given(key: tuple[str, str], seed: int, members: float) -> None:
    operation = ROUTER.operations[key]
    model = oracle.botocore_operation(operation)
    result: dict[str, Any] = {}
    if model.output_shape is not None:
        texts = XML_TEXTS if model.service_model.protocol in XML else oracle.TEXTS
        made = oracle.random_document(model.output_shape, seed, members=members, texts=texts)
        result = oracle.as_seconds(made)
    parsed = oracle.parsed_by_botocore(operation, operation.respond(result, REQUEST_ID))
    metadata = parsed.pop("ResponseMetadata")
    assert parsed == result
    assert metadata["HTTPStatusCode"] == 200
    assert metadata["RequestId"] == REQUEST_ID
