"""Records of a file are read as far as they can be trusted, and what was lost is known to matter or not."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from batchyard.engines.record_log import RecordFormat, RecordLog


class Heavy(Struct, frozen=True, array_like=True):
    name: str


class Light(Struct, frozen=True, array_like=True):
    name: str


class Later(Struct, frozen=True, array_like=True):
    """A kind that an older version does not have."""

    name: str


FORMAT = RecordFormat[Heavy | Light | Later]((Heavy, Light, Later), harmless_when_cut=(Light,))
OLDER = RecordFormat[Heavy | Light]((Heavy, Light), harmless_when_cut=(Light,))
HEAVY, LIGHT = FORMAT.encode(Heavy("one")), FORMAT.encode(Light("two"))


def test_records_come_back_in_their_order_with_their_ends() -> None:
    decoded = list(FORMAT.decode(HEAVY + LIGHT))
    assert [one.record for one in decoded] == [Heavy("one"), Light("two")]
    assert [one.stop for one in decoded] == [len(HEAVY), len(HEAVY + LIGHT)]


def test_a_cut_record_is_harmless_only_where_its_kind_is() -> None:
    (_, light) = FORMAT.decode(HEAVY + LIGHT[:-1])
    (_, heavy) = FORMAT.decode(LIGHT + HEAVY[:-1])
    (_, unknown) = FORMAT.decode(HEAVY + LIGHT[:5])
    assert [(one.record, one.is_harmless) for one in (light, heavy, unknown)] == [
        (None, True),
        (None, False),
        (None, False),
    ]
    assert light.stop == len(HEAVY), "nothing of a cut record is done with"


def test_a_damaged_record_and_an_unknown_kind_do_harm_and_reading_goes_on() -> None:
    damaged = bytearray(LIGHT + HEAVY)
    damaged[len(LIGHT) - 1] ^= 0xFF
    assert [(one.record, one.is_harmless) for one in FORMAT.decode(bytes(damaged))] == [
        (None, False),
        (Heavy("one"), True),
    ]
    assert [(one.record, one.is_harmless) for one in OLDER.decode(FORMAT.encode(Later("new")) + HEAVY)] == [
        (None, False),
        (Heavy("one"), True),
    ]


def test_a_rewritten_file_has_the_new_records_and_what_is_appended_to_them(tmp_path: Path) -> None:
    log = RecordLog(tmp_path / "log", FORMAT)
    log.rewrite([Heavy("old")])
    log.rewrite([Heavy("one")])
    log.append(Light("forgotten"))
    log.forget_last()
    log.append(Light("two"))
    log.sync()
    assert (tmp_path / "log").read_bytes() == HEAVY + LIGHT
    assert log.size_bytes == len(HEAVY + LIGHT)
    log.close()
