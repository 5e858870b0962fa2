"""Items of distributed Maps, read from bytes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.server.workflows import item_formats
from batchyard.server.workflows.item_formats import UnreadableItems, files_of_manifest, read_items, unpacked, written

READ: list[tuple[bytes, dict[str, Any], list[Any]]] = [
    (b"[1, {}, null]", {"InputType": "JSON"}, [1, {}, None]),
    (b"\xef\xbb\xbf[1]", {}, [1]),
    (b"[1, 2, 3]", {"MaxItems": 2}, [1, 2]),
    (b'{"a": 1, "b": []}', {}, [{"Key": "a", "Value": 1}, {"Key": "b", "Value": []}]),
    (b'{"a": [{"b/~": [5]}]}', {"ItemsPointer": "/a/0/b~1~0"}, [5]),
    (b'{"a": 1}\n\n[2]\n', {"InputType": "JSONL"}, [{"a": 1}, [2]]),
    (
        b'a,b\n1,2\r\n"x, ""y""\nz",\n\n3,4,5\n',
        {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
        [{"a": "1", "b": "2"}, {"a": 'x, "y"\nz', "b": ""}, {"a": "3", "b": "4"}],
    ),
    (
        b"1|2\n3|4",
        {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a", "b", "c"], "CSVDelimiter": "PIPE"},
        [{"a": "1", "b": "2", "c": ""}, {"a": "3", "b": "4", "c": ""}],
    ),
    (b"", {"InputType": "CSV"}, []),
]


@pytest.mark.parametrize(("data", "config", "items"), READ)
def test_items_are_read(data: bytes, config: dict[str, Any], items: list[Any]) -> None:
    assert read_items(data, config) == items


@pytest.mark.parametrize(
    ("data", "config", "cause"),
    [
        (b"5", {}, "Attempting to map over non-iterable node."),
        (b"a,a\n1,2", {"InputType": "CSV"}, "CSV headers cannot contain duplicates."),
        (b"[1]", {"MaxItems": 0}, "field MaxItems must be positive"),
        (b"[1", {}, "The object is no JSON: Expecting ',' delimiter: line 1 column 3 (char 2)."),
        (b"1\n{", {"InputType": "JSONL"}, "The object is no JSON in line 2: "),
        (b"\xff", {}, "The object is not UTF-8: invalid start byte at byte 0."),
        (b"[1]", {"ItemsPointer": "/0/x"}, "The ItemsPointer '/0/x' points to nothing in the object."),
        (b'a\n"x', {"InputType": "CSV"}, "The object is no CSV in line 2: "),
        (
            b"a",
            {"InputType": "CSV", "CSVHeaderLocation": "GIVEN"},
            "CSVHeaders is needed where CSVHeaderLocation is GIVEN.",
        ),
        (b"", {"InputType": "PARQUET"}, "Batchyard does not read PARQUET files: convert them to JSONL or CSV."),
    ],
)
def test_what_cannot_be_read_has_a_cause(data: bytes, config: dict[str, Any], cause: str) -> None:
    with pytest.raises(UnreadableItems) as raised:
        read_items(data, config)
    assert str(raised.value).startswith(cause)


def test_items_are_counted_before_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_formats, "MAX_ITEMS", 3)
    assert read_items(b"[1,2,3]", {}) == [1, 2, 3]
    assert read_items(b"[1,2,3,4]", {"MaxItems": 3}) == [1, 2, 3]
    with pytest.raises(UnreadableItems, match="There are more than 3 items"):
        read_items(b"[1,2,3,4]", {"MaxItems": 9})


def test_a_manifest_names_objects() -> None:
    inventory = {
        "destinationBucket": "arn:aws:s3:::target",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "data/1.csv", "size": 5}, {"key": "data/2.csv"}],
    }
    files, config = files_of_manifest(json.dumps(inventory).encode(), {"ManifestType": "S3_INVENTORY"}, "source")
    assert files == [("target", "data/1.csv"), ("target", "data/2.csv")]
    assert read_items(b'"b","k","1"\n', config) == [{"Bucket": "b", "Key": "k", "Size": "1"}]
    athena: dict[str, Any] = {"ManifestType": "ATHENA_DATA", "InputType": "JSONL"}
    assert files_of_manifest(b"s3://b/k/1\ns3://b/k/2\n", athena, "b") == ([("b", "k/1"), ("b", "k/2")], athena)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{}", "S3_INVENTORY"),
        (b'{"fileSchema": "a", "files": [5]}', "S3_INVENTORY"),
        (b'{"fileSchema": "a", "files": [], "fileFormat": "ORC"}', "S3_INVENTORY"),
        (b"http://x/y", "ATHENA_DATA"),
        (b"s3://bucket", "ATHENA_DATA"),
    ],
)
def test_a_wrong_manifest_has_a_cause(data: bytes, kind: str) -> None:
    with pytest.raises(UnreadableItems):
        files_of_manifest(data, {"ManifestType": kind}, "b")


@given(st.binary(max_size=60), st.sampled_from(["JSON", "JSONL", "CSV"]), st.sampled_from(["COMMA", "TAB", "SPACE"]))
def test_any_bytes_are_items_or_have_a_cause(data: bytes, kind: str, delimiter: str) -> None:
    try:
        items = read_items(data, {"InputType": kind, "CSVDelimiter": delimiter})
    except UnreadableItems:
        return
    assert isinstance(items, list)


@given(st.lists(st.one_of(st.integers(), st.text('aé\n"', max_size=5), st.dictionaries(st.text("k"), st.none()))))
def test_results_are_read_again(results: list[Any]) -> None:
    assert read_items(written(results, "JSON"), {}) == results
    assert read_items(written(results, "JSONL"), {"InputType": "JSONL"}) == results


def test_packed_objects_are_unpacked_to_a_limit() -> None:
    packed = gzip.compress(b"x" * 1000)
    assert unpacked("a.csv", packed, 10) == packed
    assert unpacked("a.csv.gz", packed, 1000) == b"x" * 1000
    for data, most in ((packed, 999), (packed[:-9], 1000), (b"no gzip", 1000)):
        with pytest.raises(UnreadableItems):
            unpacked("a.csv.gz", data, most)
