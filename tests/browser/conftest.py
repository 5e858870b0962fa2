from __future__ import annotations

import pytest

from tests.browser.browser import install


@pytest.fixture(scope="session", autouse=True)
def browser_is_there() -> None:
    install()
