"""The store's URL of a SQLite file: `sqlite:///relative/path` or `sqlite:////absolute/path`, percent-encoded."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from batchyard.store.errors import StoreError

HEAD = "sqlite:///"


def url_of_file(path: Path) -> str:
    return HEAD + quote(str(path))


def file_of_url(url: str) -> Path:
    """Returns the file that a URL names. Raises StoreError."""
    path = unquote(url.removeprefix(HEAD))
    if not url.startswith(HEAD) or not path:
        raise StoreError(f"The store's URL {url} names no file: write {HEAD} and the path of the database.")
    return Path(path)
