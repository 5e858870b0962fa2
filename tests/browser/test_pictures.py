"""Each page in both themes as it was when it was last looked at: `make screenshots` keeps what it looks like now.

Where pages are drawn with another Chromium or other fonts, their structure alone is compared."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.pictures import (
    DOCS,
    KEPT,
    MADE_WITH,
    MAX_DIFFERENT,
    THEMES,
    Drawn,
    drawn_scene,
    made_with,
    picture_file,
    structure_file,
)

HINT = "Look at it; if it is right, keep it: make screenshots"


@pytest.fixture(scope="module")
def drawn() -> Iterator[Drawn]:
    with drawn_scene() as made:
        yield made


def test_pages_look_as_they_did(drawn: Drawn, tmp_path: Path) -> None:
    alike = json.loads(MADE_WITH.read_text()) == made_with(drawn.browser)
    tab = drawn.tab()
    wrong = []
    for name, path in drawn.names.items():
        tab.open(path)
        kept, found = structure_file(name).read_text(), drawn.structure(tab)
        if kept != found:
            changes = difflib.unified_diff(kept.splitlines(), found.splitlines(), "kept", "found", lineterm="", n=1)
            wrong.append("\n".join([f"{name}:", *list(changes)[:30]]))
        for theme in THEMES if alike else ():
            made = drawn.picture(tab, theme)
            share = drawn.difference(made, picture_file(name, theme).read_bytes())
            if share > MAX_DIFFERENT:
                (tmp_path / f"{name}.png").write_bytes(made)
                wrong.append(f"{name}, {theme}: {share:.2%} of the pixels differ; now {tmp_path / name}.png")
    tab.close()
    assert not wrong, "\n".join([*wrong, HINT])


def test_a_page_that_differs_is_noticed(drawn: Drawn) -> None:
    tab = drawn.tab()
    tab.open("jobs")
    structure, before = drawn.structure(tab), drawn.picture(tab)
    assert drawn.difference(before, drawn.smaller(before)) == 0
    tab.page.evaluate("document.querySelector('h1').style.marginTop = '1px'")
    assert drawn.difference(before, drawn.picture(tab)) > MAX_DIFFERENT
    tab.page.evaluate("document.querySelector('h1').textContent += '!'")
    assert drawn.structure(tab) != structure
    tab.close()


def test_kept_are_those_of_the_scene_and_no_others(drawn: Drawn) -> None:
    wanted = {picture_file(name, theme) for name in drawn.names for theme in THEMES}
    assert set(KEPT.iterdir()) == wanted | {structure_file(name) for name in drawn.names} | {MADE_WITH}
    docs = Path("docs/images")
    for name, (page, theme) in DOCS.items():
        assert (docs / f"{name}.png").read_bytes() == picture_file(page, theme).read_bytes(), f"{name}: {HINT}"
