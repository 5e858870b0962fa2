"""Reads queries: commands between pipes (spec 18)."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.evaluators.insights.expressions import Reader
from batchyard.evaluators.insights.nodes import (
    Command,
    Dedup,
    Field,
    Fields,
    Filter,
    InvalidQuery,
    Limit,
    Named,
    Node,
    ParseGlob,
    ParseRegex,
    PatternOf,
    Query,
    Sort,
    Stats,
)

MAX_QUERY_CHARACTERS = 10_000  # AWS's own
MAX_ROWS = 100_000  # that a limit may ask for, AWS's own
MAX_STATS = 2  # commands in one query, AWS's own
# What AWS has beyond this, by name.
NOT_BUILT = (
    "anomaly",
    "diff",
    "filterindex",
    "unmask",
    "unnest",
    "join",
    "addtotals",
    "lookup",
)
MESSAGE = Field("@message", ("@message",))


def parse_query(text: str) -> Query:
    """Returns the commands of a query. Raises InvalidQuery."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InvalidQuery(
            f"The query has {len(text)} characters, at most {MAX_QUERY_CHARACTERS}", MAX_QUERY_CHARACTERS, len(text)
        )
    reader = Reader(text)
    groups: tuple[str, ...] = ()
    commands: list[Command] = []
    if reader.kind == "name" and reader.token.lower() == "source":
        groups = _source(reader)
        if reader.kind != "end":
            reader.expect("|")
    while reader.kind != "end":
        reader.takes("|")
        commands.append(_command(reader))
        if reader.kind != "end" and not (reader.kind == "sign" and reader.token == "|"):
            reader.unexpected("| or the end")
    if sum(isinstance(command, Stats) for command in commands) > MAX_STATS:
        reader.fail(f"a query has at most {MAX_STATS} stats commands")
    return Query(tuple(commands), groups)


def _command(reader: Reader) -> Command:
    if reader.kind != "name":
        reader.unexpected("a command (fields, filter, stats, sort, limit, parse, display, dedup, pattern)")
    name = reader.token.lower()
    read = COMMANDS.get(name)
    if read is None:
        if name in NOT_BUILT:
            reader.fail(f"The command {reader.token} is not built")
        reader.unexpected("a command (fields, filter, stats, sort, limit, parse, display, dedup, pattern)")
    reader.advance()
    return read(reader)


def _source(reader: Reader) -> tuple[str, ...]:
    """Reads `SOURCE "group", "group"`, with `START=1 END=2`, which the times of the request stand for."""
    reader.advance()
    groups = []
    while True:
        if reader.kind != "text":
            reader.fail("SOURCE is followed by log groups in quotes; data sources and prefixes are not built")
        groups.append(reader.string())
        if not reader.takes(","):
            break
    while reader.takes_word("start", "end"):
        reader.expect("=")
        reader.takes("-")
        if reader.kind not in ("number", "duration"):
            reader.unexpected("a time")
        reader.advance()
    return tuple(groups)


def _named(reader: Reader) -> Named:
    start = reader.start
    node = reader.expression()
    name = node.name if isinstance(node, Field) else reader.source(start)
    return Named(node, reader.name() if reader.takes_word("as") else name)


def _columns(reader: Reader) -> tuple[Named, ...]:
    found = [_named(reader)]
    while reader.takes(","):
        found.append(_named(reader))
    return tuple(found)


def _nodes(reader: Reader) -> tuple[Node, ...]:
    return tuple(column.node for column in _columns(reader))


def _stats(reader: Reader) -> Stats:
    earlier, reader.columns = reader.columns, set()
    columns = _columns(reader)  # an aggregate is one here, though an earlier stats has one of the same text
    reader.columns = earlier
    by = _columns(reader) if reader.takes_word("by") else ()
    reader.columns = {column.name for column in (*columns, *by)}
    return Stats(columns, by)


def _sort(reader: Reader) -> Sort:
    keys = []
    while True:
        node = reader.expression()
        keys.append((node, reader.takes_word("asc", "desc") == "desc"))
        if not reader.takes(","):
            return Sort(tuple(keys))


def _limit(reader: Reader) -> Limit:
    count = reader.integer()
    if not 1 <= count <= MAX_ROWS:
        reader.fail(f"A limit is from 1 to {MAX_ROWS}")
    return Limit(count)


def _parse(reader: Reader) -> Command:
    source: Node = MESSAGE if reader.kind == "text" or reader.is_at_regex else reader.operand()
    if reader.is_at_regex:
        regex = reader.regex()
        if not any(regex.names):
            reader.fail("The regular expression of parse has no named group, such as (?<user>...)")
        return ParseRegex(source, regex)
    if reader.kind != "text":
        reader.unexpected('a "glob *" or a /regular expression/')
    segments = tuple(reader.string().split("*"))
    if not reader.takes_word("as"):
        reader.unexpected("as, and a name for each *")
    names = [reader.name()]
    while reader.takes(","):
        names.append(reader.name())
    if len(names) != len(segments) - 1:
        reader.fail(f"parse has {len(segments) - 1} wildcards and {len(names)} names")
    return ParseGlob(source, segments, tuple(names))


COMMANDS: dict[str, Callable[[Reader], Command]] = {
    "fields": lambda reader: Fields(_columns(reader), is_display=False),
    "display": lambda reader: Fields(_columns(reader), is_display=True),
    "filter": lambda reader: Filter(reader.expression()),
    "stats": _stats,
    "sort": _sort,
    "limit": _limit,
    "parse": _parse,
    "dedup": lambda reader: Dedup(_nodes(reader)),
    "pattern": lambda reader: PatternOf(reader.expression()),
}
