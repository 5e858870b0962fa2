"""The keys file: private, changed in one step, read again when it changed, and never taken for empty when damaged."""

import os
import stat
from pathlib import Path

import pytest

from batchyard.server.access.keys import KeyFile, KeysError, add_key, operator_key, read_keys, remove_key
from batchyard.server.settings.paths import PathError


def test_keys_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    file = KeyFile(path)
    assert file.current() == {}
    first, second = add_key(path, "ci"), add_key(path, "")
    assert len({first.access_key_id, second.access_key_id, first.secret_access_key, second.secret_access_key}) == 4
    assert len(first.access_key_id) == 20
    assert len(first.secret_access_key) == 40
    assert file.current() == {first.access_key_id: first, second.access_key_id: second}
    assert remove_key(path, "ci") == first
    assert file.current() == {second.access_key_id: second}
    assert remove_key(path, second.access_key_id) == second
    assert file.current() == {}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "ci")
    with pytest.raises(KeysError, match="There is a key named ci already"):
        add_key(path, "ci")
    with pytest.raises(KeysError, match="made of up to 64 letters"):
        add_key(path, "a b")
    with pytest.raises(KeysError, match="There is no key 'other'"):
        remove_key(path, "other")
    with pytest.raises(KeysError, match="There is no key ''"):
        remove_key(path, "")


@pytest.mark.parametrize("content", [b"{", b'{"keys": [{}]}', b"\xff", b"[]", b'{"keys": null}'])
def test_a_damaged_file_is_an_error_each_time_and_heals(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    file = KeyFile(path)
    key = add_key(path, "ci")
    whole = path.read_bytes()
    assert file.current()
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(PathError, match="is damaged"):
            file.current()
    path.write_bytes(whole)
    assert file.current() == {key.access_key_id: key}


def test_a_file_open_to_others_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "ci")
    path.chmod(0o644)
    with pytest.raises(PathError, match="run chmod 600"):
        read_keys(path)


def test_the_operator_keeps_one_key(tmp_path: Path) -> None:
    path = tmp_path / "operator-key.json"
    key = operator_key(path)
    assert operator_key(path) == key
    assert key.access_key_id.startswith("BYOP")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
