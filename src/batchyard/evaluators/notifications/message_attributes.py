"""Attributes of SNS messages (spec 8.2, 8.5): what they may be, and what filter policies see of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.json_text import InvalidJson, parse_json

MAX_NAME_BYTES = 256  # AWS's own
DATA_TYPE = re.compile(r"(String|Number|Binary)(\..+)?")
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class MessageAttribute(NamedTuple):
    """One attribute. `data_type`: String, Number, Binary or String.Array, with a suffix of the sender's."""

    data_type: str
    string_value: str | None = None
    binary_value: bytes | None = None

    @property
    def is_number(self) -> bool:
        return self.data_type.partition(".")[0] == "Number"

    @property
    def is_binary(self) -> bool:
        return self.data_type.partition(".")[0] == "Binary"


def check_attributes(attributes: Mapping[str, MessageAttribute]) -> None:
    """Raises Refused (ParameterValueInvalid) with AWS's text for the first attribute that is wrong."""
    for name, attribute in attributes.items():
        check_name(name)
        given = f"The message attribute '{name}'"
        kind = attribute.data_type
        if not DATA_TYPE.fullmatch(kind):
            _fail(
                f"{given} has an invalid message attribute type, the set of supported type prefixes is Binary, "
                "Number, and String."
            )
        empty = f"{given} must contain non-empty message attribute value for message attribute type '{kind}'."
        if attribute.string_value is None and attribute.binary_value is None:
            _fail(empty)
        value = attribute.binary_value if attribute.is_binary else attribute.string_value
        if value is None:
            _fail(f"{given} with type '{kind}' must use field '{'Binary' if attribute.is_binary else 'String'}'.")
        if not value:
            _fail(empty)
        if attribute.is_number and not NUMBER.fullmatch(attribute.string_value or ""):
            _fail(f"Could not cast message attribute '{name}' value to number.")


def check_name(name: str) -> None:
    """Raises Refused (ParameterValueInvalid) for a name that no attribute may have."""
    if not 0 < len(name.encode(errors="surrogatepass")) <= MAX_NAME_BYTES:
        _fail("Length of message attribute name must be less than 256 bytes.")
    if name.startswith("."):
        _fail("Invalid message attribute name starting with character '.' was found.")
    if name.endswith("."):
        _fail("Invalid message attribute name ending with character '.' was found.")
    wrong = NOT_IN_NAMES.search(name)
    if wrong and ".." not in name[: wrong.start()]:
        _fail(
            f"Invalid non-alphanumeric character '#x{ord(wrong[0]):X}' was found in the message attribute name. Can "
            "only include alphanumeric characters, hyphens, underscores, or dots."
        )
    if ".." in name:
        _fail("Message attribute name can not have successive '.' character.")


def attributes_bytes(attributes: Mapping[str, MessageAttribute]) -> int:
    """Returns what attributes count for, against the limit of a message."""
    return sum(
        len(name.encode(errors="surrogatepass"))
        + len(attribute.data_type.encode(errors="surrogatepass"))
        + len((attribute.string_value or "").encode(errors="surrogatepass"))
        + len(attribute.binary_value or b"")
        for name, attribute in attributes.items()
    )


def filter_values(attributes: Mapping[str, MessageAttribute]) -> dict[str, Any]:
    """Returns attributes as a filter policy compares them: a text, a number, or the elements of a String.Array. Binary
    ones are not compared."""
    found: dict[str, Any] = {}
    for name, attribute in attributes.items():
        text = attribute.string_value
        if text is None or attribute.is_binary:
            continue
        if attribute.is_number:
            found[name] = float(text) if NUMBER.fullmatch(text) else text
        elif attribute.data_type == "String.Array":
            try:
                elements = parse_json(text)
            except InvalidJson:
                continue  # such a list has no elements that a policy could ask for
            if isinstance(elements, list):
                found[name] = elements
        else:
            found[name] = text
    return found


def _fail(message: str) -> NoReturn:
    raise Refused(message, "ParameterValueInvalid")
