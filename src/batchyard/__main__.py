"""The command `batchyard`: the client's commands and the server's."""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.app import app as client
from batchyard.cli.terminal_output import say
from batchyard.cli.usage import Application
from batchyard.server.commands import app as server
from batchyard.version import VERSION

app = Application(
    help="AWS Batch on your own machines.",
)
app.add_typer(server)
app.add_typer(client)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"batchyard {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """AWS Batch on your own machines."""


def main() -> None:
    app(prog_name="batchyard")


if __name__ == "__main__":
    main()
