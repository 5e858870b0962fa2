"""The key file of the secrets: made once, private, checked at each use; values open only where they belong."""

import os
import stat
from pathlib import Path

import pytest

from batchyard.api.context import CipherError
from batchyard.server.admin.doctor import findings
from batchyard.server.admin.finding import Finding
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.settings.config import SettingError, load
from batchyard.server.settings.paths import paths_of

VALUE = b"hush"


def cipher_in(directory: Path) -> KeyFileCipher:
    return KeyFileCipher(directory / "config" / "secrets.key", directory / "data")


def test_values_open_where_they_were_sealed_for_and_nowhere_else(tmp_path: Path) -> None:
    cipher = cipher_in(tmp_path)
    sealed = cipher.seal(VALUE, "db 1", is_first=lambda: True)
    assert VALUE not in sealed
    assert cipher.open(sealed, "db 1") == VALUE
    assert cipher_in(tmp_path).open(sealed, "db 1") == VALUE
    assert cipher.seal(VALUE, "db 1", is_first=lambda: False) != sealed
    with pytest.raises(CipherError, match="belongs to something else"):
        cipher.open(sealed, "db 2")
    for at in range(len(sealed)):
        damaged = bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]])
        with pytest.raises(CipherError):
            cipher.open(damaged, "db 1")
    for size in range(len(sealed)):
        with pytest.raises(CipherError):
            cipher.open(sealed[:size], "db 1")


def test_digests_tell_values_apart_and_nothing_to_others(tmp_path: Path) -> None:
    cipher, other = cipher_in(tmp_path / "a"), cipher_in(tmp_path / "b")
    for each in (cipher, other):
        each.seal(VALUE, "x", is_first=lambda: True)
    assert cipher.digest(VALUE, "x") == cipher.digest(VALUE, "x")
    assert (
        len({cipher.digest(VALUE, "x"), cipher.digest(b"x", "x"), cipher.digest(VALUE, "y"), other.digest(VALUE, "x")})
        == 4
    )


def test_the_key_is_private_and_made_only_at_the_first_secret(tmp_path: Path) -> None:
    cipher, path = cipher_in(tmp_path), tmp_path / "config" / "secrets.key"
    with pytest.raises(CipherError, match="is not there"):
        cipher.seal(VALUE, "x", is_first=lambda: False)
    assert not path.exists()
    cipher.seal(VALUE, "x", is_first=lambda: True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["secrets.key"]
    content = path.read_bytes()
    cipher_in(tmp_path).seal(VALUE, "x", is_first=lambda: True)
    assert path.read_bytes() == content


def test_a_key_that_others_can_read_or_that_is_no_key_is_refused_until_it_is_right(tmp_path: Path) -> None:
    cipher, path = cipher_in(tmp_path), tmp_path / "config" / "secrets.key"
    sealed = cipher.seal(VALUE, "x", is_first=lambda: True)
    content = path.read_bytes()
    path.chmod(0o640)
    with pytest.raises(CipherError, match=r"is open to others \(mode 0640\): run chmod 600"):
        cipher.open(sealed, "x")
    path.chmod(0o600)
    for wrong in (b"", b"\xff", content[:-9], content[10:], b"batchyard-secrets-key-1 !!"):
        path.write_bytes(wrong)
        with pytest.raises(CipherError, match="is damaged"):
            cipher.open(sealed, "x")
    path.write_bytes(content)
    assert cipher.open(sealed, "x") == VALUE
    path.unlink()
    with pytest.raises(CipherError, match="put it back"):
        cipher.open(sealed, "x")
    cipher.seal(VALUE, "x", is_first=lambda: True)
    with pytest.raises(CipherError, match="another key"):
        cipher.open(sealed, "x")
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(CipherError, match="is no file"):
        cipher.open(sealed, "x")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_somebody_elses_key_is_refused(tmp_path: Path) -> None:
    cipher, path = cipher_in(tmp_path), tmp_path / "config" / "secrets.key"
    sealed = cipher.seal(VALUE, "x", is_first=lambda: True)
    os.chown(path, 65534, 65534)
    with pytest.raises(CipherError, match="belongs to the user 65534"):
        cipher.open(sealed, "x")


def test_the_doctor_looks_at_the_key(tmp_path: Path) -> None:
    settings = load({"data_dir": str(tmp_path / "data")}, {"HOME": str(tmp_path)})
    paths = paths_of(settings.data_dir, settings.work_dir, {})

    def found() -> Finding:
        return next(finding for finding in findings(settings, paths) if finding.check == "secrets key")

    path = tmp_path / ".config" / "batchyard" / "secrets.key"
    assert found() == Finding("secrets key", True, f"{path} (made with the first secret)", present=False)
    KeyFileCipher(settings.secrets_key_file, settings.data_dir).seal(VALUE, "x", is_first=lambda: True)
    assert found() == Finding("secrets key", True, f"{path} (keep a copy of it)")
    path.chmod(0o644)
    assert (found().ok, "chmod 600" in found().remedy) == (False, True)


def test_a_key_file_in_the_data_directory_is_refused_at_start(tmp_path: Path) -> None:
    flags = {"data_dir": str(tmp_path / "data"), "secrets_key_file": str(tmp_path / "data" / "x" / ".." / "key")}
    with pytest.raises(SettingError, match="must lie outside the data directory"):
        load(flags, {"HOME": str(tmp_path)})
    elsewhere = load(flags | {"secrets_key_file": str(tmp_path / "key")}, {"HOME": str(tmp_path)})
    assert elsewhere.secrets_key_file == tmp_path / "key"


def test_no_key_is_made_in_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for path in (tmp_path / "data" / "secrets.key", tmp_path / "link" / "secrets.key"):
        with pytest.raises(CipherError, match="name another one with --secrets-key-file"):
            KeyFileCipher(path, tmp_path / "data").seal(VALUE, "x", is_first=lambda: True)
    assert os.listdir(tmp_path / "data") == []
