"""`batchyard open` shows the console of the service that the other commands would call."""

from pathlib import Path

from tests.server.running import command


def test_the_browser_is_given_the_address_of_the_console(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {shown}\n')
    browser.chmod(0o755)
    done = command(tmp_path, "open", "--url", "http://127.0.0.1:9/", BROWSER=f"{browser} %s")
    assert (done.returncode, done.stdout) == (0, "http://127.0.0.1:9/console/\n")
    assert shown.read_text() == "http://127.0.0.1:9/console/"
