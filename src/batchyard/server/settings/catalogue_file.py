"""Loads the owner's prices as a setting."""

from __future__ import annotations

from pathlib import Path

from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.planning import instance_types
from batchyard.planning.instance_types import load_catalogue
from batchyard.server.settings.config import SettingError

__all__ = ["load_catalogue", "load_prices"]


def load_prices(path: Path | None, catalogue: Catalogue) -> Prices:
    """Loads the prices file. Raises SettingError; else as instance_types.load_prices."""
    try:
        return instance_types.load_prices(path, catalogue)
    except instance_types.PriceError as error:
        raise SettingError(str(error)) from error
