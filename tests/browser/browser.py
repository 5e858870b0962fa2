"""Debian's Chromium, driven by Playwright, where both are there; and axe-core, which checks pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.debian import install_packages
from tests.waiting import until

PACKAGES = ("chromium", "fonts-dejavu-core")
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
# A machine without other networks: nothing but the page is to be fetched.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
DESKTOP = {"width": 1280, "height": 900}
WAIT_MS = 30_000  # machines under load


def install() -> None:
    """Provides Chromium where root may; skips the test, with the reason, where there is none."""
    if not executable():
        install_packages("there is no Chromium (or set CHROMIUM to its path)", ("chromium",), PACKAGES)


def executable() -> str:
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or ""


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=[*FLAGS.split(), *flags])
        yield browser
        browser.close()


class Tab:
    """A page that notes what goes wrong on it."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self.context = browser.new_context(**({"viewport": DESKTOP} | settings))
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.address = address
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append(f"a dialog: {dialog.message}"), dialog.dismiss()))

    def open(self, path: str = "") -> Any:
        answer = self.page.goto(f"{self.address}/console/{path}")
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}"
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.problems, self.problems

    def violations(self, *rules: str) -> list[str]:
        """What axe finds wrong; with `rules`, by those alone."""
        if not self.page.evaluate("() => !!window.axe"):
            self.page.evaluate(AXE)
        only: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            only["runOnly"] = {"type": "rule", "values": list(rules)}
        found = self.page.evaluate("options => axe.run(document, options)", only)
        return [
            f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def has(self, selector: str) -> None:
        """Waits for an element."""
        until(lambda: self.page.locator(selector).count() > 0, WAIT_MS / 1000, lambda: f"{selector} on {self.page.url}")
