"""Settings: flag > environment > file > default, from one table; what is wrong is said in one sentence."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.server.settings.config import SettingError, Settings, load
from batchyard.server.settings.file_tables import FILE_TABLES
from batchyard.server.settings.notify import Smtp
from batchyard.server.settings.table import BY_NAME, TABLE, Kind

LAYERS = ("file", "environment", "flag")


def written(kind: Kind, value: Any) -> str:
    """The value as TOML."""
    return repr(value).lower() if kind is Kind.SWITCH else f'"{value}"' if isinstance(value, str) else repr(value)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "port": st.integers(0, 65535),
    "vcpus": st.integers(1, 1000),
    "memory": st.integers(4, 1 << 20),
    "gpus": st.integers(0, 8),
    "host": st.sampled_from(["127.0.0.1", "::1", "localhost"]),
    "engine": st.sampled_from(["auto", "process", "docker"]),
    "region": st.sampled_from(["us-east-1", "eu-central-2", "us-gov-west-1"]),
    "insecure": st.booleans(),
    "stop_grace_seconds": st.floats(0, 1000),
    "scratch_keep_days": st.integers(0, 365),
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_strongest_layer_that_says_something_wins(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    directory = tmp_path_factory.mktemp("config")
    lines, variables, flags = [], {"HOME": str(directory)}, {}
    expected: dict[str, Any] = {}
    for name, strategy in VALUES.items():
        setting = BY_NAME[name]
        expected[name] = setting.default
        for layer in LAYERS:
            if not data.draw(st.booleans()):
                continue
            value = expected[name] = data.draw(strategy)
            if layer == "file":
                lines.append(f"{setting.key} = {written(setting.kind, value)}")
            elif layer == "environment":
                variables[setting.variable] = str(value)
            else:
                flags[name] = value
    file = directory / "config.toml"
    file.write_text("\n".join(lines))
    found = load(flags, variables, file)
    assert {name: getattr(found, name) for name in VALUES} == expected


def test_every_setting_of_the_table_is_a_field_with_the_same_default() -> None:
    # Tables, of which most have the owner's own names.
    of_the_file_alone = {"efs", "images", "allowed_targets", "smtp", "notify"}
    assert {s.name for s in TABLE} == set(Settings.__struct_fields__) - of_the_file_alone
    found = load({}, {"HOME": "/nowhere"})
    for setting in TABLE:
        if setting.kind is not Kind.PATH:
            assert getattr(found, setting.name) == setting.default, setting.name
        assert setting.help.endswith(".")
        assert (setting.default is None) == bool(setting.default_help), setting.name


def test_tables_of_the_file_are_read_as_the_reference_shows_them(tmp_path: Path) -> None:
    found = {"efs": "efs", "images": "images", "targets": "allowed_targets", "smtp": "smtp", "notify": "notify"}
    assert [table.name for table in FILE_TABLES] == list(found)
    for table in FILE_TABLES:
        path = tmp_path / "config.toml"
        path.write_text(table.example)
        field = found[table.name]
        assert getattr(load({}, {}, path), field) != getattr(load({}, {}), field)
    members = {table.name: {name for name, _ in table.members} for table in FILE_TABLES}
    assert members["smtp"] == set(Smtp.__struct_fields__)
    assert members["notify"] == {"command", "url"}


def test_places_follow_the_xdg_directories(tmp_path: Path) -> None:
    home = load({}, {"HOME": str(tmp_path)})
    assert home.data_dir == tmp_path / ".local/share/batchyard"
    assert home.work_dir == home.data_dir / "work"
    (tmp_path / "etc" / "batchyard").mkdir(parents=True)
    (tmp_path / "etc" / "batchyard" / "config.toml").write_text('work_dir = "scratch"\nport = 9\n')
    found = load({}, {"XDG_DATA_HOME": str(tmp_path / "d"), "XDG_CONFIG_HOME": str(tmp_path / "etc"), "HOME": "/x"})
    assert found.data_dir == tmp_path / "d" / "batchyard"
    assert found.port == 9
    assert found.work_dir == tmp_path / "etc" / "batchyard" / "scratch"  # of a file: relative to the file
    relative = load({"data_dir": "here"}, {"HOME": str(tmp_path)}, current_directory=tmp_path / "a")
    assert relative.data_dir == tmp_path / "a" / "here"


def test_variables_for_jobs_add_up_by_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[jobs.environment]\nA = "file"\nB = "file"\nC = "file"\n')
    variables = {"HOME": "/x", "BATCHYARD_JOB_ENV": "B=environment C='two words'"}
    found = load({"job_env": ["C=flag=1", "D="]}, variables, file)
    assert dict(found.job_env) == {"A": "file", "B": "environment", "C": "flag=1", "D": ""}


@pytest.mark.parametrize(
    ("content", "variables", "flags", "sentence"),
    [
        ("prot = 1", {}, {}, "there is no setting prot. There are: account_id"),
        ("[jobs]\nfoo = 1", {}, {}, "there is no setting jobs.foo"),
        ("[jobs.environment]\nA = 1", {}, {}, r"jobs.environment.A must be a text in quotes; not 1\."),
        ("port = 'x'", {}, {}, "port must be an integer from 0 to 65535; not 'x'"),
        ("port = true", {}, {}, "port must be an integer from 0 to 65535; not True"),
        ("port = 65536", {}, {}, "port must be an integer from 0 to 65535; not 65536"),
        ("account_id = 123456789012", {}, {}, "account_id must be 12 digits"),
        ("insecure = 'yes'", {}, {}, "insecure must be true or false"),
        ("port = [", {}, {}, "is not TOML"),
        ("", {"BATCHYARD_PORT": "many"}, {}, "BATCHYARD_PORT must be an integer from 0 to 65535; not 'many'"),
        ("", {"BATCHYARD_INSECURE": "maybe"}, {}, "BATCHYARD_INSECURE must be true or false"),
        ("", {"BATCHYARD_JOB_ENV": "1A=x"}, {}, "BATCHYARD_JOB_ENV must be NAME=VALUE"),
        ("", {"BATCHYARD_JOB_ENV": "A='x"}, {}, "BATCHYARD_JOB_ENV must be NAME=VALUE"),
        ("", {"BATCHYARD_STOP_GRACE_SECONDS": "nan"}, {}, "BATCHYARD_STOP_GRACE_SECONDS must be a number"),
        ("", {}, {"engine": "podman"}, "--engine must be one of auto, process, docker; not 'podman'"),
        ("", {}, {"region": "nowhere"}, "--region must be a region's name"),
        ("", {}, {"vcpus": 0}, "--vcpus must be an integer from 1"),
        ("", {}, {"job_env": ["A"]}, "--job-env must be NAME=VALUE"),
        ("", {}, {"host": "a\0b"}, "--host must be a text"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(
    tmp_path: Path, content: str, variables: dict[str, str], flags: dict[str, Any], sentence: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content)
    with pytest.raises(SettingError, match=sentence):
        load(flags, {"HOME": "/x", **variables}, file)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="There is no configuration file"):
        load({}, {"HOME": "/x"}, tmp_path / "none.toml")
    with pytest.raises(SettingError, match="There is no configuration file"):
        load({}, {"HOME": "/x", "BATCHYARD_CONFIG": str(tmp_path / "none.toml")})
