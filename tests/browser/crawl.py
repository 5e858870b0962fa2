"""Visits every page that can be reached by links from the overview, as `make hunt` does:
`python -m tests.browser.crawl [--pages 300]`. Each must answer, be sound by axe-core in light and dark, fit a phone and
4K, and report nothing to the browser's console."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from urllib.parse import urldefrag

from tests.browser.browser import Tab
from tests.browser.pipeline import Yard, yard_with_jobs

SIZES = ((360, 780), (3840, 2160), (1280, 900))


def shape_of(url: str) -> str:
    """Addresses of one shape lead to pages of one kind: no more than a few of them are visited."""
    path, _, query = url.partition("?")
    parts = ["*" if any(letter.isdigit() for letter in part) else part for part in path.split("/")]
    return "/".join(parts) + "?" + "&".join(sorted(one.partition("=")[0] for one in query.split("&")))


def crawl(yard: Yard, most: int) -> list[str]:
    """Returns what is wrong, a line each."""
    tab = yard.tab()
    root = f"{yard.server.address}/console/"
    waiting, seen, shapes = [root], {root}, dict[str, int]()
    wrong: list[str] = []
    number = 0
    while waiting and number < most:
        url = waiting.pop(0)
        number += 1
        wrong += [f"{url}: {problem}" for problem in look(tab, url)]
        for link in tab.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            found = urldefrag(link).url
            shape = shape_of(found)
            if found in seen or not found.startswith(root) or "/raw" in found or shapes.get(shape, 0) >= 3:
                continue
            seen.add(found)
            shapes[shape] = shapes.get(shape, 0) + 1
            waiting.append(found)
    print(f"{number} pages of {len(shapes)} kinds visited, {len(wrong)} problems")
    tab.problems.clear()
    tab.close()
    return wrong


def look(tab: Tab, url: str) -> list[str]:
    answer = tab.page.goto(url)
    problems = [] if answer is not None and answer.status == 200 else [f"status {answer and answer.status}"]
    for theme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=theme)
        problems += [f"{theme}: {found}" for found in tab.violations()]
    for width, height in SIZES:
        tab.page.set_viewport_size({"width": width, "height": height})
        if tab.page.evaluate("document.documentElement.scrollWidth") > width:
            problems.append(f"wider than {width}")
    found, tab.problems = tab.problems, []
    return problems + found


def main() -> int:
    parser = argparse.ArgumentParser(description="Visit every page of the console that links lead to.")
    parser.add_argument("--pages", type=int, default=300, help="visit at most so many (default 300)")
    most = parser.parse_args().pages
    with tempfile.TemporaryDirectory() as home, yard_with_jobs(Path(home)) as yard:
        wrong = crawl(yard, most)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
