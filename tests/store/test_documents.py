"""Documents of every registered kind are stored and restored, whichever room registered it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from batchyard.core.model.changes import Changes
from batchyard.core.model.documents import register
from batchyard.store.queries import Reader
from batchyard.store.store import Store
from batchyard.store.writer import Writer
from tests.store.samples import ACCOUNT, NOW_MS, REGION

WAIT_SECONDS = 30
# What data directories hold: none of these may be missing, or they would not open.
KINDS_OF_THE_CORE = {
    "instance", "ended-instance", "scheduling-policy", "share-usage", "queue-head", "secret", "parameter",
}  # fmt: skip


class Kite(Struct, frozen=True, omit_defaults=True):
    """What a toy room keeps."""

    name: str
    length_metres: int = 0


KITE = register("kite", Kite)


def test_a_kind_that_a_toy_room_registered_is_stored_and_restored(path: Path, writer: Writer, reader: Reader) -> None:
    kites = [Kite("a", 3), Kite("b")]
    writer.commit(Changes(documents={(KITE, kite.name): kite for kite in kites}), NOW_MS).result(WAIT_SECONDS)
    assert reader.documents(KITE) == (kites, None)
    writer.commit(Changes(documents={(KITE, "a"): None}), NOW_MS).result(WAIT_SECONDS)
    writer.close()
    again = Store.open(path).writer()
    again.open(ACCOUNT, REGION)
    snapshot = again.load(NOW_MS)
    again.close()
    assert snapshot.documents == {(KITE, "b"): Kite("b")}


def test_the_codec_alone_knows_every_kind_of_the_core() -> None:
    """A backup or a check of a database imports no machine, and must not take what it holds for damage."""
    program = (
        "from batchyard.store import codec\nfrom batchyard.core.model import documents\n"
        f"print(*(kind for kind in {sorted(KINDS_OF_THE_CORE)} if documents.is_registered(kind)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == KINDS_OF_THE_CORE
