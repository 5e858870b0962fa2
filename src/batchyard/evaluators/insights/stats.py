"""`stats`: groups of rows, and the aggregates of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from batchyard.evaluators.insights.aggregates import AGGREGATES, Aggregate, CountRows, Percentile, TooLarge
from batchyard.evaluators.insights.batches import Batch, Column
from batchyard.evaluators.insights.columns import compile_column
from batchyard.evaluators.insights.compiler import Evaluate, check_count, compile_expression, fail
from batchyard.evaluators.insights.nodes import (
    Call,
    Chain,
    Compared,
    Field,
    InvalidQuery,
    Joined,
    Literal,
    Negative,
    Node,
    Not,
    Star,
    Stats,
)
from batchyard.evaluators.insights.periods import Time
from batchyard.evaluators.insights.values import Row, Value, text_of

MAX_GROUPS = 100_000
MAX_KEY_CHARACTERS = 1000  # of what rows are grouped by
Maker = Callable[[], Aggregate]


class Grouping:
    """The groups of one `stats`, in the order in which they came."""

    def __init__(self, command: Stats, now_ms: int) -> None:
        """Raises InvalidQuery."""
        self._by = [(column.name, compile_expression(column.node, now_ms)) for column in command.by]
        self._by_values = [evaluate for _, evaluate in self._by]
        self._makers: list[Maker] = []
        self._sources: list[Evaluate | None] = []
        self._source_nodes: list[Node | None] = []
        self._now_ms = now_ms
        self._columns: list[tuple[str, Evaluate]] = []
        for column in command.columns:
            before = len(self._makers)
            node = self._without_aggregates(column.node)
            if len(self._makers) == before:
                raise InvalidQuery(f"{column.name} in stats is no aggregate such as count(*) or avg(f)", 0, 0)
            self._columns.append((column.name, compile_expression(node, now_ms)))
        self._by_columns = [compile_column(column.node, now_ms) for column in command.by]
        # By how they are written out: aggregates of one expression share its column.
        self._by_source = {repr(node): compile_column(node, now_ms) for node in self._source_nodes if node is not None}
        self._groups: dict[tuple[str | Time | None, ...], tuple[list[Value], list[Aggregate]]] = {}
        if not self._by:
            self._groups[()] = ([], [maker() for maker in self._makers])

    def add(self, row: Row) -> None:
        """Raises TooLarge."""
        aggregates = self._aggregates([evaluate(row) for evaluate in self._by_values])
        for aggregate, source in zip(aggregates, self._sources, strict=True):
            aggregate.add(row, None if source is None else source(row))

    def add_batch(self, batch: Batch) -> None:
        """Takes the rows of a batch, which has some. Raises TooLarge."""
        sources = {
            text: Column(evaluate(batch), lambda: _times_of(batch)) for text, evaluate in self._by_source.items()
        }
        nothing = Column([None] * batch.size, lambda: ())
        columns = [nothing if node is None else sources[repr(node)] for node in self._source_nodes]
        by = [evaluate(batch) for evaluate in self._by_columns]
        for positions in _positions(by, batch.size):
            first = positions[0]
            aggregates = self._aggregates([values[first] for values in by])
            is_all = len(positions) == batch.size
            for aggregate, column in zip(aggregates, columns, strict=True):
                aggregate.add_all(column if is_all else column.pick(positions))

    def _aggregates(self, values: list[Value]) -> list[Aggregate]:
        """Returns the aggregates of the group with these values, which may be a new one."""
        key = tuple([value if type(value) is Time else _key_of(value) for value in values])
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                raise TooLarge(f"stats has more than {MAX_GROUPS} groups")
            if any(isinstance(value, str) and len(value) > MAX_KEY_CHARACTERS for value in values):
                values = [value[:MAX_KEY_CHARACTERS] if isinstance(value, str) else value for value in values]
                key = tuple([_key_of(value) for value in values])
            group = self._groups.setdefault(key, (values, [maker() for maker in self._makers]))
        return group[1]

    def rows(self) -> list[Row]:
        found = []
        for values, aggregates in self._groups.values():
            results: dict[str, Value] = {
                _slot(number): aggregate.result() for number, aggregate in enumerate(aggregates)
            }
            inner = Row(None, results)
            columns = {name: value for (name, _), value in zip(self._by, values, strict=True)}
            columns |= {name: evaluate(inner) for name, evaluate in self._columns}
            found.append(Row(None, columns))
        return found

    # -- reading --

    def _without_aggregates(self, node: Node) -> Node:
        """Returns an expression with its aggregates replaced by fields that hold their results."""
        if isinstance(node, Call):
            maker = self._maker(node)
            if maker is None:
                arguments = tuple(self._without_aggregates(argument) for argument in node.arguments)
                return node._replace(arguments=arguments)
            name = _slot(len(self._makers))
            self._makers.append(maker[0])
            source = maker[1]
            self._sources.append(None if source is None else compile_expression(source, self._now_ms))
            self._source_nodes.append(source)
            return Field(name, (name,))
        if isinstance(node, Chain):
            rest = tuple((operator, self._without_aggregates(operand)) for operator, operand in node.rest)
            return Chain(self._without_aggregates(node.first), rest)
        if isinstance(node, Negative):
            return Negative(self._without_aggregates(node.operand))
        if isinstance(node, Not):
            return Not(self._without_aggregates(node.operand))
        if isinstance(node, Joined):
            return node._replace(operands=tuple(self._without_aggregates(operand) for operand in node.operands))
        if isinstance(node, Compared):
            return Compared(node.operator, self._without_aggregates(node.left), self._without_aggregates(node.right))
        return node

    def _maker(self, node: Call) -> tuple[Maker, Node | None] | None:
        """Returns what makes an aggregate, and what it is an aggregate of; None for another function."""
        if node.name == "pct":
            check_count(node, 2, 2)
            percent = node.arguments[1]
            if not isinstance(percent, Literal) or not isinstance(percent.value, float) or percent.value > 100:
                fail(node, "pct takes a field and a percentage from 0 to 100")
            value = percent.value
            return lambda: Percentile(value), node.arguments[0]
        if node.name not in AGGREGATES:
            return None
        if node.name == "count" and node.arguments in ((), (Star(),)):
            return CountRows, None
        check_count(node, 1, 1)
        return AGGREGATES[node.name], node.arguments[0]


def _times_of(batch: Batch) -> Sequence[Value]:
    return batch.column("@timestamp", ("@timestamp",))


def _positions(by: Sequence[Sequence[Value]], size: int) -> Iterable[Sequence[int]]:
    """Returns the positions of the rows of each group, in the order in which the groups come first."""
    if not by:
        return [range(size)]
    texts = [[value if type(value) is Time else _key_of(value) for value in values] for values in by]
    keys: Sequence[object] = texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
    if len(set(keys)) == 1:
        return [range(size)]
    found: defaultdict[object, list[int]] = defaultdict(list)
    for at, key in enumerate(keys):
        found[key].append(at)
    return found.values()


def _key_of(value: Value) -> str | Time | None:
    """Returns what values are one group by: their text. That of a time takes long, and its number says the same."""
    return value if isinstance(value, str | Time) else text_of(value)


def _slot(number: int) -> str:
    return f"aggregate {number}"  # no field of a query has a blank without backticks
