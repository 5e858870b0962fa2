"""What an instance costs: the owner's prices, nominal ones, and bids."""

import json
from pathlib import Path

import pytest

import batchyard
from batchyard.core.capacity.catalogue import catalogue_of
from batchyard.core.capacity.prices import Prices, format_dollars, nominal

DATA = Path(batchyard.__file__).parent / "vendor" / "instance_types" / "instance_types.json"
CATALOGUE = catalogue_of(json.loads(DATA.read_bytes()))
LARGE, XLARGE = CATALOGUE.types["c6i.large"], CATALOGUE.types["c6i.xlarge"]


def test_the_owners_prices_win_over_nominal_ones() -> None:
    prices = Prices({"c6i.large": 85_000}, {"c6i.large": 30_000})
    assert prices.on_demand_of(LARGE) == 85_000
    assert prices.ranking_price(LARGE, is_spot=False) == 85_000
    assert prices.ranking_price(LARGE, is_spot=True) == 30_000
    assert prices.on_demand_of(XLARGE) == prices.ranking_price(XLARGE, is_spot=True) == nominal(XLARGE)
    assert prices.spot_of(XLARGE) is None


def test_nominal_prices_grow_with_what_a_type_has() -> None:
    assert nominal(XLARGE) == 2 * nominal(LARGE)
    by_price = sorted(["r6i.large", "g4dn.xlarge", "c6i.large", "m6i.large"], key=lambda n: nominal(CATALOGUE.types[n]))
    assert by_price == ["c6i.large", "m6i.large", "r6i.large", "g4dn.xlarge"]


@pytest.mark.parametrize(("spot", "bid", "within"), [(60, 60, True), (61, 60, False), (100, 100, True), (1, 0, False)])
def test_a_bid_is_a_percentage_of_the_on_demand_price(spot: int, bid: int, within: bool) -> None:
    prices = Prices({"c6i.large": 100}, {"c6i.large": spot})
    assert prices.is_within_bid(LARGE, bid) is within
    assert prices.is_within_bid(XLARGE, bid)  # nobody said what it costs on Spot


@pytest.mark.parametrize(
    ("micro_dollars", "text"), [(85_000, "$0.085"), (3_060_000, "$3.06"), (1, "$0.000001"), (2_000_000, "$2.00")]
)
def test_dollars_are_written_as_people_read_them(micro_dollars: int, text: str) -> None:
    assert format_dollars(micro_dollars) == text
