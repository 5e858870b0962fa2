"""Reads the items of a distributed Map from the bytes of objects: JSON, JSON lines, CSV, manifests (step functions
spec 12)."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from batchyard.api.states.definitions import NOT_READ
from batchyard.evaluators.json_text import InvalidJson, minified, parse_json

JSON, JSON_LINES, CSV, MANIFEST, PARQUET = "JSON", "JSONL", "CSV", "MANIFEST", "PARQUET"
FIRST_ROW, GIVEN = "FIRST_ROW", "GIVEN"
DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}
MAX_ITEMS = 100_000  # of one Map: they are kept in one row of the store until it ends
MAX_FIELD_CHARACTERS = 262_144  # of a CSV file: an item may have no more

Config = Mapping[str, Any]


class UnreadableItems(Exception):
    """Items cannot be read. The text is the cause of States.ItemReaderFailed."""


def read_items(data: bytes, config: Config) -> list[Any]:
    """Returns the items of an object; `config`: the ReaderConfig, evaluated."""
    kind = config.get("InputType", JSON)
    if kind == PARQUET:
        raise UnreadableItems(NOT_READ[PARQUET])
    text = _decoded(data)
    if kind == CSV:
        rows = _csv_items(text, config)
    elif kind == JSON_LINES:
        rows = _lines(text)
    else:
        rows = iter(_json_items(text, config.get("ItemsPointer", "")))
    return limited(rows, config)


def limited(items: Iterator[Any], config: Config) -> list[Any]:
    """Returns as many items as MaxItems allows."""
    most = config.get("MaxItems")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise UnreadableItems("field MaxItems must be positive")
    found = list(islice(items, MAX_ITEMS + 1 if most is None else min(most, MAX_ITEMS + 1)))
    if len(found) > MAX_ITEMS:
        raise UnreadableItems(f"There are more than {MAX_ITEMS} items: read fewer with MaxItems, or in several Maps.")
    return found


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableItems(f"The object is not UTF-8: {error.reason} at byte {error.start}.") from error


# -- JSON --


def _json_items(text: str, pointer: str) -> list[Any]:
    value = _at(_json(text), pointer)
    if isinstance(value, dict):
        return [{"Key": key, "Value": inner} for key, inner in value.items()]
    if not isinstance(value, list):
        raise UnreadableItems("Attempting to map over non-iterable node.")
    return value


def _json(text: str, where: str = "") -> Any:
    try:
        return parse_json(text)
    except InvalidJson as error:
        raise UnreadableItems(f"The object is no JSON{where}: {error}.") from error


def _at(value: Any, pointer: str) -> Any:
    """Returns what a JSON pointer (RFC 6901) points to."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and name.isascii() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise UnreadableItems(f"The ItemsPointer {pointer!r} points to nothing in the object.")
    return value


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _json(line, f" in line {number}")


# -- CSV --


def _csv_items(text: str, config: Config) -> Iterator[dict[str, str]]:
    """Yields one object of texts for each row. A row without a field has an empty text for it; further fields of a row
    are left out."""
    rows = _rows(text, DELIMITERS[config.get("CSVDelimiter", "COMMA")])
    headers = config.get("CSVHeaders")
    if config.get("CSVHeaderLocation", FIRST_ROW) == FIRST_ROW:
        headers = next(rows, [])
    elif not isinstance(headers, list) or not headers:
        raise UnreadableItems("CSVHeaders is needed where CSVHeaderLocation is GIVEN.")
    if len(set(headers)) < len(headers):
        raise UnreadableItems("CSV headers cannot contain duplicates.")
    for row in rows:
        yield dict(zip(headers, row + [""] * (len(headers) - len(row)), strict=False))


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UnreadableItems(f"The object is no CSV in line {reader.line_num}: {error}.") from error
        if row:
            yield row


# -- manifests --


def files_of_manifest(data: bytes, config: Config, source_bucket: str) -> tuple[list[tuple[str, str]], Config]:
    """Returns the objects that a manifest names, as pairs of bucket and key, and how to read their items: those of an
    S3 inventory are its CSV files, those of Athena's UNLOAD are objects of the kind that the ReaderConfig says."""
    text = _decoded(data)
    if config.get("ManifestType") == "ATHENA_DATA":
        return [_split_url(line.strip()) for line in text.split("\n") if line.strip()], config
    manifest = _json(text)
    try:
        schema = [name.strip() for name in manifest["fileSchema"].split(",")]
        kind = manifest.get("fileFormat", CSV)
        bucket = manifest.get("destinationBucket", "").removeprefix("arn:aws:s3:::") or source_bucket
        files = [(bucket, str(one["key"])) for one in manifest["files"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableItems("The object is no manifest of an S3 inventory: it needs fileSchema and files.") from error
    if kind != CSV:
        raise UnreadableItems(f"The inventory has files of the format {kind}: Batchyard reads those of CSV.")
    return files, {"InputType": CSV, "CSVHeaderLocation": GIVEN, "CSVHeaders": schema}


def _split_url(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key:
        raise UnreadableItems(f"The manifest names {url[:200]!r}, which is no s3://bucket/key.")
    return bucket, key


# -- results --


def written(results: list[Any], output_type: str) -> bytes:
    """Returns results as the bytes of a file: one JSON array, or a line for each."""
    if output_type == JSON_LINES:
        return b"".join(minified(one).encode() + b"\n" for one in results)
    return minified(results).encode()


def unpacked(key: str, data: bytes, most: int) -> bytes:
    """Returns the content of an object, which is packed where its key says so. `most`: bytes of it."""
    if not key.endswith(".gz"):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableItems(f"The object {key} is no gzip file: {error}.") from error
    if len(content) > most:
        raise UnreadableItems(f"The object {key} has more than {most} bytes when unpacked.")
    return content
