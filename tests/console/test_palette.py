"""The colours of the console: text can be read on every surface, and states differ for colour-blind readers too."""

import re
from itertools import combinations

import pytest

from batchyard.console.rendering import STATIC

Colour = tuple[float, float, float]
CSS = (STATIC / "console.css").read_text()
STATES = ("pending", "runnable", "starting", "running", "succeeded", "failed")
LEAST_CONTRAST = 4.5  # WCAG 2, AA
LEAST_DIFFERENCE = 20.0  # CIE76: below about 10 two colours are taken for one
# Machado, Oliveira and Fernandes 2009, at full severity: linear RGB as the reader sees it.
SIGHTS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def themes() -> dict[str, dict[str, str]]:
    """The colours of each block of the style sheet that sets them."""
    blocks = re.findall(r"(:root[^{]*)\{([^}]*--page[^}]*)\}", CSS)
    return {name.strip(): dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", body)) for name, body in blocks}


def linear(colour: str) -> Colour:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, sight: tuple[Colour, Colour, Colour]) -> Colour:
    rgb = [max(0.0, min(1.0, sum(a * b for a, b in zip(row, linear(colour), strict=True)))) for row in sight]
    white = (0.95047, 1.0, 1.08883)
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(a * b for a, b in zip(row, rgb, strict=True)) / w for row, w in zip(rows, white, strict=True)]
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_the_dark_colours_are_the_same_by_choice_and_by_system() -> None:
    light, by_system, chosen = themes().values()
    assert by_system == chosen
    assert light.keys() == chosen.keys()


@pytest.mark.parametrize("theme", themes())
def test_text_can_be_read(theme: str) -> None:
    colours = themes()[theme]
    for text in ("text", "muted", "link", *STATES):
        assert contrast(colours[text], colours["page"]) >= LEAST_CONTRAST, text
    for text in ("text", "muted", "link"):
        assert contrast(colours[text], colours["panel"]) >= LEAST_CONTRAST, text
    for text in ("failed", "text", "muted", "link"):
        assert contrast(colours[text], colours["bad-row"]) >= LEAST_CONTRAST, text
    assert contrast(colours["text"], colours["mark"]) >= LEAST_CONTRAST
    assert contrast(colours["button"], colours["on-button"]) >= LEAST_CONTRAST


@pytest.mark.parametrize("theme", themes())
@pytest.mark.parametrize("sight", SIGHTS)
def test_states_differ_in_every_sight(theme: str, sight: str) -> None:
    colours = themes()[theme]
    for one, other in combinations(STATES, 2):
        a, b = (lab(colours[name], SIGHTS[sight]) for name in (one, other))
        difference = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
        assert difference >= LEAST_DIFFERENCE, (one, other, difference)
