"""What the commands have in common: options, the connection, and the handling of errors."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

if TYPE_CHECKING:
    from batchyard.cli.client import Client

Parameters = ParamSpec("Parameters")
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The service. Default: BATCHYARD_URL, AWS_ENDPOINT_URL_BATCH, AWS_ENDPOINT_URL, else this machine's.",
    ),
]
Raw = Annotated[
    bool, typer.Option("--raw", help="The job's output as it is, also on a terminal, which it may then command.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with AWS's member names.")]


def reports_errors(command: Callable[Parameters, int | None]) -> Callable[Parameters, None]:
    """Decorator: an error becomes one sentence and exit code 1; what the command returns is the exit code."""

    @functools.wraps(command)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        from batchyard.cli.client import ClientError
        from batchyard.cli.terminal_output import complain, drop_output, flush, prepare_streams, tell

        prepare_streams()
        try:
            code = command(*args, **kwargs)
            flush()
        except ClientError as error:
            flush()
            complain(str(error))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            tell()
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            drop_output()
            raise typer.Exit(1) from None
        raise typer.Exit(code or 0)

    return guarded


def connect(url: str | None) -> Client:
    from batchyard.cli.client import Client
    from batchyard.cli.endpoint import find_endpoint

    return Client(find_endpoint(url, os.environ))
