"""The pictures of the README: `python -m tests.browser.screenshots docs/images` makes them anew."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser.pipeline import yard_with_jobs

VIEW = {"width": 1100, "height": 620}


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, yard_with_jobs(Path(home)) as yard:
        pictures = {
            "console-jobs": ("jobs", "light"),
            "console-job": (f"jobs/{yard.ids['wide']}", "dark"),
            "console-array": (f"jobs/{yard.ids['array']}", "light"),
        }
        for name, (path, theme) in pictures.items():
            tab = yard.tab(color_scheme=theme, viewport=VIEW, reduced_motion="reduce")
            page = tab.open(path)
            tab.has(".live.is-on")
            page.screenshot(path=str(directory / f"{name}.png"))
            tab.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
