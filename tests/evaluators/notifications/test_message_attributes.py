"""Attributes of messages, and AWS's texts for what is wrong with one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.notifications.message_attributes import (
    MessageAttribute,
    attributes_bytes,
    check_attributes,
    check_name,
    filter_values,
)


def text_of(name: str, attribute: MessageAttribute) -> str:
    with pytest.raises(Refused) as refusal:
        check_attributes({"fine": MessageAttribute("String", "x"), name: attribute})
    assert refusal.value.code == "ParameterValueInvalid"
    return refusal.value.message


EMPTY = "The message attribute 'a' must contain non-empty message attribute value for message attribute type"


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (MessageAttribute("String", ""), f"{EMPTY} 'String'."),
        (MessageAttribute("String"), f"{EMPTY} 'String'."),
        (
            MessageAttribute("String", None, b"x"),
            "The message attribute 'a' with type 'String' must use field 'String'.",
        ),
        (MessageAttribute("Binary", "x"), "The message attribute 'a' with type 'Binary' must use field 'Binary'."),
        (
            MessageAttribute("Text", "x"),
            (
                "The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes "
                "is Binary, Number, and String."
            ),
        ),
        (MessageAttribute("Number", "1x"), "Could not cast message attribute 'a' value to number."),
    ],
)
def test_values(attribute: MessageAttribute, text: str) -> None:
    assert text_of("a", attribute) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a" * 257, "Length of message attribute name must be less than 256 bytes."),
        (".a", "Invalid message attribute name starting with character '.' was found."),
        ("a.", "Invalid message attribute name ending with character '.' was found."),
        ("a..b", "Message attribute name can not have successive '.' character."),
        (
            "a^b",
            (
                "Invalid non-alphanumeric character '#x5E' was found in the message attribute name. Can only include "
                "alphanumeric characters, hyphens, underscores, or dots."
            ),
        ),
    ],
)
def test_names(name: str, text: str) -> None:
    assert text_of(name, MessageAttribute("String", "x")) == text


def test_what_is_accepted_and_counted() -> None:
    attributes = {
        "a": MessageAttribute("String", "ä"),
        "b-1.c_": MessageAttribute("Number.int", "-1.5e3"),
        "c": MessageAttribute("Binary.gif", None, b"123"),
    }
    check_attributes(attributes)
    assert filter_values(attributes) == {"a": "ä", "b-1.c_": -1500.0}
    assert attributes_bytes(attributes) == (1 + 6 + 2) + (6 + 10 + 6) + (1 + 10 + 3)


@given(st.text(max_size=8))
def test_any_name_is_accepted_or_refused(name: str) -> None:
    try:
        check_name(name)
    except Refused:
        return
    assert name.replace(".", "").replace("-", "").replace("_", "").isalnum()
