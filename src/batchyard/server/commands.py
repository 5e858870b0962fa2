"""The server's commands: up, down, keys, doctor. Heavy modules are imported inside them."""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from batchyard.cli.endpoint import URL_VARIABLES
from batchyard.cli.terminal_output import print_json
from batchyard.cli.usage import Application, decimal_number
from batchyard.server.admin.terminal import EXIT_DAMAGED, EXIT_USAGE, Failure, leave, say
from batchyard.server.settings.config import SettingError, Settings, load
from batchyard.server.settings.paths import PathError, Paths, make_private, paths_of
from batchyard.server.settings.table import TABLE, Kind, Setting
from batchyard.store.errors import StoreDamaged, StoreError

app = Application()
keys_app = Application(help="Who else may call: access keys.")
app.add_typer(keys_app, name="keys")

CONFIG_HELP = "The configuration file (BATCHYARD_CONFIG; default $XDG_CONFIG_HOME/batchyard/config.toml)."

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help=f"Of this service. Default: {', '.join(URL_VARIABLES)}, else that of the data directory.",
    ),
]
DataDir = Annotated[str | None, typer.Option("--data-dir", metavar="PATH", help="The service's data directory.")]
Config = Annotated[str | None, typer.Option("--config", metavar="PATH", help=CONFIG_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(flags: dict[str, Any], config: str | None) -> Settings:
    """Returns the settings in force; a wrong one ends the command with a sentence and exit code 2."""
    try:
        return load(flags, os.environ, Path(config) if config else None)
    except SettingError as error:
        leave(Failure(str(error), EXIT_USAGE))


def _paths(settings: Settings) -> Paths:
    return paths_of(settings.data_dir, settings.work_dir, os.environ)


def _meant(url: str | None, data_dir: str | None, config: str | None) -> tuple[Settings, Paths]:
    """Returns the service that a command is for, found as the other commands find it."""
    from batchyard.server.admin.service_lookup import meant_paths

    settings = settings_of({"data_dir": data_dir}, config)
    return settings, meant_paths(settings, data_dir, url)


def _guarded(action: Callable[[], None]) -> None:
    """Runs a command's work; an error that the user has to fix is printed as one sentence."""
    try:
        action()
    except Failure as failure:
        leave(failure)
    except StoreDamaged as error:
        leave(Failure(str(error), EXIT_DAMAGED))
    except (PathError, StoreError) as error:
        leave(Failure(str(error)))


def _option(setting: Setting) -> Any:
    """Returns the flag of a setting. Values come as texts, so that each layer is checked by the same code."""
    default = setting.default_help or _shown(setting.default)
    text = f"{setting.help} ({setting.variable}" + (f"; default {default})" if default else ")")
    if setting.kind is Kind.SWITCH:
        name = setting.flag.removeprefix("--")
        return Annotated[bool | None, typer.Option(f"--{name}/--no-{name}", help=text, show_default=False)]
    metavar = "NAME=VALUE" if setting.kind is Kind.ASSIGNMENTS else setting.kind.value.upper()
    option = typer.Option(setting.flag, metavar="|".join(setting.choices) or metavar, help=text, show_default=False)
    kind: Any = list[str] | None if setting.kind is Kind.ASSIGNMENTS else str | None
    return Annotated[kind, option]


def _shown(default: Any) -> str:
    if isinstance(default, bool) or default == ():
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command (which takes `config` and the flags by setting name) one option for every line of the table."""
    parameters = {setting.name: _option(setting) for setting in TABLE} | {"config": Config}
    keyword = inspect.Parameter.KEYWORD_ONLY
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in parameters.items()]
    )
    command.__annotations__ = dict(parameters)
    return command


@app.command()
@with_settings
def up(config: str | None, **flags: Any) -> None:
    """Start the service here, in the foreground. Ctrl-C ends it; jobs run on."""
    settings = settings_of(flags, config)

    def action() -> None:
        gc.disable()  # until `serve`: imports leave no garbage, and looking for it takes a sixth of their time
        from batchyard.server.startup import serve

        serve(settings, _paths(settings))

    _guarded(action)


@app.command()
def down(
    kill: Annotated[bool, typer.Option("--kill", help="Also terminate the running jobs and their supervisor.")] = False,
    url: Url = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Stop the service. Jobs run on, unless --kill."""

    def action() -> None:
        settings, paths = _meant(url, data_dir, config)
        from batchyard.server.admin import stop

        say(stop.kill(paths, settings.stop_grace_seconds) if kill else stop.stop(paths))

    _guarded(action)


@app.command()
def join(
    server: Annotated[str, typer.Argument(metavar="URL", help="The server's, as `batchyard hosts token` shows it.")],
    token: Annotated[
        str,
        typer.Option("--token", metavar="TOKEN", help="For the first time.", envvar="BATCHYARD_JOIN_TOKEN"),
    ] = "",
    state_dir: Annotated[
        str | None,
        typer.Option("--state-dir", metavar="PATH", help="Of this host alone; default $XDG_STATE_HOME/batchyard-host."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Default: this machine's.")] = None,
    vcpus: Annotated[str | None, typer.Option("--vcpus", metavar="N", help="For jobs; default: those found.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", metavar="MIB", help="For jobs, in MiB.")] = None,
    gpus: Annotated[str | None, typer.Option("--gpus", metavar="N", help="For jobs.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Shown with it.")] = None,
    expires_at: Annotated[
        float,
        typer.Option(
            "--expires-at",
            metavar="SECONDS",
            parser=decimal_number(0),
            help="When this machine is taken away, in seconds since the epoch.",
            envvar="BATCHYARD_JOIN_EXPIRES_AT",
        ),
    ] = 0.0,
    drain_seconds: Annotated[
        float,
        typer.Option(
            "--drain-seconds",
            metavar="SECONDS",
            parser=decimal_number(0),
            help="At SIGTERM jobs are stopped, with so long to end.",
        ),
    ] = 0.0,
) -> None:
    """Let this machine run jobs of a server, in the foreground. Nothing but this program is needed here, and no root.

    Ctrl-C ends the agent alone: jobs run on, and it finds them again, if it is started within the lease."""

    def action() -> None:
        from batchyard.server.hosts.join import JoinOptions, default_state_dir
        from batchyard.server.hosts.join import join as join_server

        directory = Path(state_dir) if state_dir else default_state_dir(os.environ)
        options = JoinOptions(
            server, token, directory, name, vcpus, memory, gpus, tuple(label or ()), expires_at, drain_seconds
        )
        join_server(options, say)

    _guarded(action)


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the key.")] = "",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Its callers may look, and change nothing; nor do they see secrets.")
    ] = False,
    url: Url = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make an access key and show it, with its secret, this once. From the first key on every request is verified."""

    def action() -> None:
        _, paths = _meant(url, data_dir, config)
        from batchyard.server.access.keys import KeysError, add_key

        make_private(paths.data_dir)
        try:
            key = add_key(paths.keys_file, name, read_only=read_only)
        except KeysError as error:
            raise Failure(str(error)) from error
        if as_json:
            print_json({"accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key, "name": key.name})
            return
        say(f"AWS_ACCESS_KEY_ID={key.access_key_id}")
        say(f"AWS_SECRET_ACCESS_KEY={key.secret_access_key}")

    _guarded(action)


@keys_app.command("list")
def keys_list(url: Url = None, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the access keys, without their secrets."""

    def action() -> None:
        _, paths = _meant(url, data_dir, config)
        from datetime import UTC, datetime

        from batchyard.server.access.keys import read_keys

        keys = read_keys(paths.keys_file)
        if as_json:
            shown = [
                {"accessKeyId": k.access_key_id, "name": k.name, "createdAt": k.created_at_ms, "readOnly": k.read_only}
                for k in keys
            ]
            print_json(shown)
            return
        if not keys:
            say("No keys: programs of this user on this machine may call, with any credentials.")
        for key in keys:
            made = datetime.fromtimestamp(key.created_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
            mode = "  read only" if key.read_only else ""
            say(f"{key.access_key_id}  {made}  {key.name}{mode}".rstrip())

    _guarded(action)


@keys_app.command("rm")
def keys_rm(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The access key id, or the name.")],
    url: Url = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Remove an access key. A running service refuses it from now on."""

    def action() -> None:
        _, paths = _meant(url, data_dir, config)
        from batchyard.server.access.keys import KeysError, remove_key

        try:
            removed = remove_key(paths.keys_file, key)
        except KeysError as error:
            raise Failure(str(error)) from error
        say(f"Removed {removed.access_key_id}" + (f" ({removed.name})." if removed.name else "."))

    _guarded(action)


@app.command()
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The new file to write.")],
    url: Url = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Copy the service's state into a file, while it runs or not; log events and metrics into FILE.logs and
    FILE.metrics beside it. Keys are not in them, nor is the output of jobs."""

    def action() -> None:
        _, paths = _meant(url, data_dir, config)
        from batchyard.server.admin.backups import back_up

        for path, size in back_up(paths, Path(file).absolute()):
            say(f"Wrote {path}, {size / 1024:.0f} KiB.")

    _guarded(action)


@app.command()
def restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `batchyard backup` wrote.")],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a new data directory of a backup, with FILE.logs and FILE.metrics where they are beside it. Attempts that
    ran when it was made end as lost at the next start."""
    paths = _paths(settings_of({"data_dir": data_dir}, config))

    def action() -> None:
        from batchyard.server.admin.backups import restore

        make_private(paths.data_dir)
        for path in restore(paths, Path(file).absolute()):
            say(f"There is no {path}: the service begins without it.")
        say(f"Restored {paths.data_dir}. Start it with: batchyard up --data-dir {paths.data_dir}")

    _guarded(action)


@app.command()
def doctor(url: Url = None, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Say what this machine lacks for running jobs, and how to get it. Exit code 1 when something is missing, 5
    when the database, all of which is read, is damaged."""

    def action() -> None:
        settings = settings_of({"data_dir": data_dir}, config)
        import msgspec

        from batchyard.cli.formats import hanging
        from batchyard.cli.terminal_output import shown
        from batchyard.server.admin.doctor import findings
        from batchyard.server.admin.store_checks import DATABASE

        meant = url if data_dir is None else ""
        found = findings(settings, _paths(settings), meant, reads_database=True)
        if as_json:
            print_json([msgspec.to_builtins(finding) for finding in found])
        else:
            width = max(len(finding.check) for finding in found)
            for finding in found:
                lines = hanging(f"{finding.mark:<4}  {finding.check:<{width}}  ", shown(finding.detail))
                if finding.remedy:
                    lines += hanging(" " * (width + 8), shown(finding.remedy))
                for line in lines:
                    say(line)
        if any(finding.check == DATABASE and not finding.ok for finding in found):
            raise SystemExit(EXIT_DAMAGED)
        if not all(finding.ok for finding in found):
            raise SystemExit(1)

    _guarded(action)
