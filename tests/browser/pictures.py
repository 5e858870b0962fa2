"""Pictures of the pages of tests.browser.scene, kept beside this file: `make screenshots` makes them anew, and those of
the docs with them.

Two Chromiums, or two fonts, draw differently: the kept pictures carry both names, and other ones are compared by the
structure of pages alone, which is kept too: what a screen reader finds there, and the colours."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from batchyard.console.rendering import STATIC_FILES
from batchyard.console.site import ROOT, PageRequest
from batchyard.version import VERSION
from tests.browser.browser import Tab, chromium
from tests.browser.scene import Scene
from tests.console.site import VISITOR

KEPT = Path(__file__).parent / "pictures"
MADE_WITH = KEPT / "made-with.json"
ADDRESS = "http://console.test"
THEMES = ("light", "dark")
VIEW = {"width": 960, "height": 720}
MAX_DIFFERENT = 0.001  # of all pixels: what antialiasing may do
STREAM = "retry: 600000\n\n"
# Nothing moves, and what only a live page shows is hidden.
STILL = "* { caret-color: transparent !important; transition: none !important } .live { visibility: hidden }"
# Of the docs: name of the picture there -> page and theme.
DOCS = {
    "console-jobs": ("jobs", "light"),
    "console-job": ("job-waits", "dark"),
    "console-array": ("array", "light"),
    "console-failed": ("job-failed", "light"),
}
# In the page: the pixels of a picture as indexes into its 256 most frequent colours; others are the nearest of them.
INDEXED = """async png => {
    const image = await createImageBitmap(await (await fetch(png)).blob());
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const words = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    const counts = new Map();
    for (const word of words) counts.set(word, (counts.get(word) || 0) + 1);
    const parts = word => [word & 255, (word >> 8) & 255, (word >> 16) & 255];
    const sorted = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b);
    const palette = sorted.slice(0, 256).map(parts), indexOf = new Map();
    for (const word of sorted) {
        const wanted = parts(word);
        let best = 0, least = 1e9;
        palette.forEach((one, index) => {
            const away = Math.abs(one[0] - wanted[0]) + Math.abs(one[1] - wanted[1]) + Math.abs(one[2] - wanted[2]);
            if (away < least) [best, least] = [index, away];
        });
        indexOf.set(word, best);
    }
    const reader = new FileReader(), read = new Promise(done => reader.onload = done);
    reader.readAsDataURL(new Blob([Uint8Array.from(words, word => indexOf.get(word))]));
    await read;
    return [image.width, image.height, palette.flat(), reader.result.split(",")[1]];
}"""
# The share of pixels of two pictures that differ.
DIFFERENCE = """async ([one, other]) => {
    const pixels = async url => {
        const image = await createImageBitmap(await (await fetch(url)).blob());
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.width, image.height];
        canvas.getContext("2d").drawImage(image, 0, 0);
        return canvas.getContext("2d").getImageData(0, 0, image.width, image.height);
    };
    const [a, b] = [await pixels(one), await pixels(other)];
    if (a.width !== b.width || a.height !== b.height) return 1;
    let different = 0;
    for (let i = 0; i < a.data.length; i += 4)
        if (Math.abs(a.data[i] - b.data[i]) + Math.abs(a.data[i + 1] - b.data[i + 1])
            + Math.abs(a.data[i + 2] - b.data[i + 2]) > 72) different++;
    return different / (a.width * a.height);
}"""
COLOURS = """() => ["body", "main", "a", "th", "button", "input", ".log", ".s-failed", ".s-succeeded", ".s-running"]
    .map(selector => [selector, document.querySelector(selector)])
    .filter(([_, element]) => element)
    .map(([selector, element]) => [selector, getComputedStyle(element)])
    .map(([selector, style]) => `${selector}: ${style.color} on ${style.backgroundColor}`)"""


def made_with(browser: Any) -> dict[str, str]:
    """What decides how pages are drawn."""
    fonts = [
        subprocess.run(["fc-match", family], capture_output=True, text=True, check=False).stdout.strip()
        for family in ("system-ui", "ui-monospace")
    ]
    return {"chromium": browser.version, "fonts": "; ".join(fonts)}


@contextlib.contextmanager
def drawn_scene() -> Iterator[Drawn]:
    """The scene in a browser."""
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        try:
            # Before there is a browser: its loop and that of the pages cannot be one.
            bodies = {path: _render(scene, path) for path in scene.pages().values()}
            pages = Pages(scene.pages(), bodies, scene.now_ms)
        finally:
            scene.close()
    with chromium("--disable-lcd-text", "--font-render-hinting=none") as browser:
        yield Drawn(browser, pages)


def _render(scene: Scene, path: str) -> bytes:
    page, _, query = path.partition("?")
    return scene.ask(PageRequest(page, VISITOR, query=dict(parse_qsl(query)))).body


class Pages(NamedTuple):
    """What the pages of a scene are: the path by name, what is there, and when it was."""

    names: dict[str, str]
    bodies: dict[str, bytes]
    now_ms: int


class Drawn:
    """The pages of a scene in a browser, without a server."""

    def __init__(self, browser: Any, pages: Pages) -> None:
        self.browser = browser
        self.names = pages.names
        self._pages = pages
        self._blank = browser.new_page()

    def tab(self, **settings: Any) -> Tab:
        view: dict[str, Any] = {"viewport": VIEW, "timezone_id": "UTC", "locale": "en-GB", "reduced_motion": "reduce"}
        tab = Tab(self.browser, ADDRESS, **(view | settings))
        tab.page.clock.set_fixed_time(datetime.fromtimestamp(self._pages.now_ms / 1000, UTC))
        tab.page.route("**/*", self._answer)
        return tab

    def _answer(self, route: Any) -> None:
        parts = urlsplit(route.request.url)
        path = parts.path.removeprefix(ROOT) + (f"?{parts.query}" if parts.query else "")
        if path.startswith("live"):
            route.fulfill(body=STREAM, content_type="text/event-stream")
        elif path.startswith("static/"):
            content_type, body = STATIC_FILES[path.rpartition("/")[2]]
            route.fulfill(body=body, content_type=content_type)
        elif path in self._pages.bodies:
            route.fulfill(body=self._pages.bodies[path], content_type="text/html; charset=utf-8")
        else:
            route.fulfill(status=204)  # what a live page asks again: there is no news

    def picture(self, tab: Tab, theme: str = "light") -> bytes:
        """The open page as a PNG."""
        tab.page.emulate_media(color_scheme=theme)
        return bytes(tab.page.screenshot(style=STILL))

    def smaller(self, png: bytes) -> bytes:
        """The picture with 256 colours: a quarter of what Chromium makes."""
        width, height, palette, indexes = self._blank.evaluate(INDEXED, url_of(png))
        return indexed_png(width, height, bytes(palette), base64.b64decode(indexes))

    def difference(self, one: bytes, other: bytes) -> float:
        """The share of pixels that differ."""
        return float(self._blank.evaluate(DIFFERENCE, [url_of(one), url_of(other)]))

    def structure(self, tab: Tab) -> str:
        """What a screen reader finds on the open page, and its colours."""
        found = [tab.page.locator("body").aria_snapshot().replace(f"Batchyard {VERSION}", "Batchyard VERSION")]
        for theme in THEMES:
            tab.page.emulate_media(color_scheme=theme)
            found += ["", f"{theme}:", *tab.page.evaluate(COLOURS)]
        return "\n".join([*found, ""])


def picture_file(name: str, theme: str) -> Path:
    return KEPT / f"{name}-{theme}.png"


def structure_file(name: str) -> Path:
    return KEPT / f"{name}.txt"


def url_of(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def indexed_png(width: int, height: int, palette: bytes, indexes: bytes) -> bytes:
    """A PNG (ISO 15948) of one byte a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + indexes[start : start + width] for start in range(0, width * height, width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def main(docs: Path) -> None:
    """Makes all pictures; those that look the same stay as they are."""
    KEPT.mkdir(exist_ok=True)
    wanted = {MADE_WITH}
    with drawn_scene() as drawn:
        MADE_WITH.write_text(json.dumps(made_with(drawn.browser), indent=2) + "\n")
        tab = drawn.tab()
        for name, path in drawn.names.items():
            tab.open(path)
            structure_file(name).write_text(drawn.structure(tab))
            wanted.add(structure_file(name))
            for theme in THEMES:
                made, file = drawn.picture(tab, theme), picture_file(name, theme)
                if not file.exists() or drawn.difference(made, file.read_bytes()) > 0:
                    file.write_bytes(drawn.smaller(made))
                wanted.add(file)
        tab.close()
    for file in set(KEPT.iterdir()) - wanted:
        file.unlink()
    for name, (page, theme) in DOCS.items():
        (docs / f"{name}.png").write_bytes(picture_file(page, theme).read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
