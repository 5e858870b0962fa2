"""The owner's prices from their file: what is read, and the sentence for what is wrong."""

from pathlib import Path

import pytest

from batchyard.server.settings.catalogue_file import load_catalogue, load_prices
from batchyard.server.settings.config import SettingError, load
from tests.server.running import command

PRICES = """
"c6i.large" = 0.085
"m6i.large" = { on_demand = 0.096, spot = 0.0351 }
"p3.2xlarge".spot = 1
["r6i.large"]
on_demand = 0.126
"""


def test_prices_are_read_exactly(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(PRICES)
    prices = load_prices(file, load_catalogue())
    assert dict(prices.on_demand) == {"c6i.large": 85_000, "m6i.large": 96_000, "r6i.large": 126_000}
    assert dict(prices.spot) == {"m6i.large": 35_100, "p3.2xlarge": 1_000_000}
    assert load_prices(None, load_catalogue()).on_demand == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"c6i.large" = 0', "c6i.large.on_demand must be dollars per hour, more than 0 and at most 1000000; not 0."),
        ('"c6i.large" = "0.1"', "c6i.large.on_demand must be dollars per hour"),
        ('"c6i.large" = true', "c6i.large.on_demand must be dollars per hour"),
        ('"c6i.large" = nan', "c6i.large.on_demand must be dollars per hour"),
        ('"c6i.large".spot = -1', "c6i.large.spot must be dollars per hour"),
        ('"c6i.huge" = 1', 'c6i.huge is no instance type. Write lines such as "c6i.large" = { on_demand = 0.085'),
        ('"c6i.large" = { sport = 1 }', "c6i.large must have on_demand, spot or both, and nothing else (sport)."),
        ('"c6i.large" = { }', "c6i.large must have on_demand, spot or both."),
        ("c6i.large = 1", 'put instance types in quotes: "c6i.large" = 0.085.'),
        ("nonsense", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(SettingError) as error:
        load_prices(file, load_catalogue())
    assert words in str(error.value)
    assert str(file) in str(error.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="There is no prices file"):
        load_prices(tmp_path / "none.toml", load_catalogue())
    with pytest.raises(SettingError, match="cannot be read"):
        load_prices(tmp_path, load_catalogue())


def test_the_file_is_found_from_where_it_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('prices = "prices.toml"')
    assert load({}, {"HOME": str(tmp_path)}, config).prices == tmp_path / "prices.toml"
    assert load({}, {"HOME": str(tmp_path)}, None).prices is None


def test_a_server_with_a_wrong_price_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('"c6i.large" = -1')
    ended = command(tmp_path, "up", "--data-dir", str(tmp_path / "data"), "--port", "0", "--prices", str(file))
    assert ended.returncode == 2
    assert "c6i.large.on_demand must be dollars per hour" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()
