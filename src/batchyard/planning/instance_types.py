"""Loads the catalogue of instance types, and the owner's prices."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from batchyard.core.capacity.catalogue import Catalogue, catalogue_of
from batchyard.core.capacity.prices import MICRO_PER_DOLLAR, Prices

CATALOGUE = Path(__file__).parents[1] / "vendor" / "instance_types" / "instance_types.json"
MAX_DOLLARS = 1_000_000  # per hour: a typing mistake, not a price
MEMBERS = ("on_demand", "spot")
EXAMPLE = '"c6i.large" = { on_demand = 0.085, spot = 0.035 }'


class PriceError(Exception):
    """A prices file that cannot be used: a sentence for the user."""


@cache
def load_catalogue() -> Catalogue:
    """Loads every instance type of the vendored file."""
    return catalogue_of(json.loads(CATALOGUE.read_bytes()))


def load_prices(path: Path | None, catalogue: Catalogue) -> Prices:
    """Loads the owner's prices: a TOML file with a line for each type, its dollars per hour or a table of on_demand
    and spot. `None`: no prices. Raises PriceError with a sentence that names the file and the type."""
    if path is None:
        return Prices()
    on_demand: dict[str, int] = {}
    spot: dict[str, int] = {}
    for name, value in _read(path).items():
        where = f"The prices file {path}: {name}"
        if name not in catalogue.types:
            raise PriceError(f"{where} is no instance type. Write lines such as {EXAMPLE}.")
        table = value if isinstance(value, dict) else {"on_demand": value}
        unknown = sorted(set(table) - set(MEMBERS))
        if unknown or not table:
            but = f", and nothing else ({', '.join(unknown)})" if unknown else ""
            raise PriceError(f"{where} must have on_demand, spot or both{but}.")
        if "on_demand" in table:
            on_demand[name] = _micro_dollars(table["on_demand"], f"{where}.on_demand")
        if "spot" in table:
            spot[name] = _micro_dollars(table["spot"], f"{where}.spot")
    return Prices(on_demand, spot)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except FileNotFoundError as error:
        raise PriceError(f"There is no prices file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PriceError(f"The prices file {path} cannot be read: {error}.") from error
    except (tomllib.TOMLDecodeError, InvalidOperation) as error:
        raise PriceError(f"The prices file {path} is not TOML: {error}. Write lines such as {EXAMPLE}.") from error
    _refuse_unquoted(document, path)
    return document


def _refuse_unquoted(document: dict[str, Any], path: Path) -> None:
    """Refuses a type without quotes: `c6i.large = 0.085` is a table `c6i` with a key `large` in TOML."""
    for name, value in document.items():
        if isinstance(value, dict) and "." not in name and not set(value) & set(MEMBERS):
            raise PriceError(
                f'The prices file {path}: put instance types in quotes: "{name}.{next(iter(value), "large")}" = 0.085.'
            )


def _micro_dollars(value: Any, where: str) -> int:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not is_number or not Decimal(value).is_finite() or not 0 < value <= MAX_DOLLARS:
        raise PriceError(f"{where} must be dollars per hour, more than 0 and at most {MAX_DOLLARS}; not {value}.")
    return max(1, round(Decimal(value) * MICRO_PER_DOLLAR))
