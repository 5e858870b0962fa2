"""How a visitor wants to see the console: the theme, kept in a cookie of the browser."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.console.site import ROOT, Answer, PageRequest, Site, redirect

THEMES = ("light", "dark", "")
THEME_COOKIE = "batchyard_theme"
A_YEAR_SECONDS = 31_536_000


async def set_theme(site: Site, request: PageRequest) -> Answer:
    theme = request.form.get("theme", "")
    theme = theme if theme in THEMES else ""
    kept = f"Max-Age={A_YEAR_SECONDS}" if theme else "Max-Age=0"
    cookie = f"{THEME_COOKIE}={theme}; Path={ROOT}; {kept}; SameSite=Strict; HttpOnly"
    back = redirect("")
    where = request.form.get("back", "")
    if where.startswith(ROOT) and where.isprintable() and where.isascii():
        back = replace(back, headers=(("location", where),))
    return replace(back, headers=(*back.headers, ("set-cookie", cookie)))
