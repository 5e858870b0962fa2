"""Metric math: operators, functions, and what has no value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.metrics.math_functions import FUNCTIONS, Range
from batchyard.evaluators.metrics.math_parser import InvalidMath, names_in, parse_math
from batchyard.evaluators.metrics.math_values import MAX_SERIES, Series
from batchyard.evaluators.metrics.metric_math import (
    AlarmQuery,
    MetricQuery,
    check_alarm_expressions,
    check_alarm_queries,
    default_labels,
    evaluate,
    order_of,
)

Points = list[float | None]
ASKED = Range(600, 900, 60)


def series(points: Points, name: str = "m") -> Series:
    return Series({600 + 60 * at: float(value) for at, value in enumerate(points) if value is not None}, 60, name, name)


def listed(one: Series) -> Points:
    return [one.points.get(at) for at in ASKED.times()]


M: dict[str, Points] = {
    "c": [1, 1, 0, 0, None],
    "t": [30, None, 0, 0, 30],
    "f": [0, 0, 20, None, 20],
    "up": [1, 2, 4, 8, 16],
    "gap": [1, None, None, 4, None],
    "late": [None, 3, None, None, 9],
    "neg": [-1.5, 0, 1.5, None, 100],
    "empty": [None] * 5,
}
METRICS = {name: series(points, name) for name, points in M.items()}


def result(text: str, **others: str) -> tuple[Series, ...]:
    expressions = {name: parse_math(other) for name, other in {"e": text, **others}.items()}
    found = evaluate(expressions, METRICS, ASKED)["e"]
    if isinstance(found, InvalidMath):
        raise found
    return found


@pytest.mark.parametrize(
    ("text", "points"),
    [
        # The guide's tables of IF.
        ("IF(c, t, f)", [30, 0, 20, None, None]),
        ("IF(c, 5, f)", [5, 5, 20, None, None]),
        ("IF(c, t, 5)", [30, 0, 5, 5, None]),
        ("IF(c, t)", [30, 0, None, None, None]),
        ("IF(1, t, f)", [30, None, 0, 0, 30]),
        ("IF(SUM(c) > 5, t, f)", [0, 0, 20, None, 20]),
        ("IF(AVG(up) > 100, up)", [None] * 5),
        # Operators.
        ("up + 1", [2, 3, 5, 9, 17]),
        ("2 * up - 1", [1, 3, 7, 15, 31]),
        ("up + t", [31, 2, 4, 8, 46]),
        ("100 * f / (f + t)", [0, None, 100, None, 40]),
        ("up / c", [1, 2, None, None, None]),
        ("-up ^ 2", [-1, -4, -16, -64, -256]),
        ("2 ^ -1 * up", [0.5, 1, 2, 4, 8]),
        ("neg ^ 0.5", [None, 0, 1.5**0.5, None, 10]),
        ("up > 3 AND up < 10", [0, 0, 1, 1, 0]),
        ("up == 1 || up >= 16", [1, 0, 0, 0, 1]),
        ("up != 4 && 1", [1, 1, 0, 1, 1]),
        ("gap <= late", [0, 1, None, 0, 1]),
        # Functions.
        ("ABS(neg)", [1.5, 0, 1.5, None, 100]),
        ("CEIL(neg)", [-1, 0, 2, None, 100]),
        ("FLOOR(neg)", [-2, 0, 1, None, 100]),
        ("LOG10(neg)", [None, None, math.log10(1.5), None, 2]),
        ("LOG(up)", [0, math.log(2), math.log(4), math.log(8), math.log(16)]),
        ("AVG([up, t])", [15.5, 2, 2, 4, 23]),
        ("MAX([up, t])", [30, 2, 4, 8, 30]),
        ("MIN([up, t])", [1, 2, 0, 0, 16]),
        ("SUM([up, t, f])", [31, 2, 24, 8, 66]),
        ("STDDEV([up, t])", [14.5, 0, 2, 4, 7]),
        ("DATAPOINT_COUNT([up, t, gap])", [3, 1, 2, 3, 2]),
        ("up * DATAPOINT_COUNT(gap)", [2, 4, 8, 16, 32]),
        ("DIFF(up)", [None, 1, 2, 4, 8]),
        ("DIFF(gap)", [None, None, None, 3, None]),
        ("DIFF_TIME(gap)", [None, None, None, 180, None]),
        ("RATE(gap)", [None, None, None, 3 / 180, None]),
        ("RUNNING_SUM(gap)", [1, None, None, 5, None]),
        ("FILL(gap, 7)", [1, 7, 7, 4, 7]),
        ("FILL(gap, REPEAT)", [1, 1, 1, 4, 4]),
        ("FILL(late, REPEAT)", [None, 3, 3, 3, 9]),
        ("FILL(gap, LINEAR)", [1, 2, 3, 4, None]),
        ("FILL(gap, up)", [1, 2, 4, 4, 16]),
        ("FILL(empty, 0)", [0, 0, 0, 0, 0]),
        ("TIME_SERIES(3)", [3, 3, 3, 3, 3]),
        ("MINUTE(gap)", [10, 11, 12, 13, 14]),
        ("HOUR(gap)", [0, 0, 0, 0, 0]),
        ("DAY(gap)", [4, 4, 4, 4, 4]),
        ("DATE(gap)", [1, 1, 1, 1, 1]),
        ("MONTH(gap)", [1, 1, 1, 1, 1]),
        ("YEAR(gap)", [1970] * 5),
        ("EPOCH(gap)", [600, 660, 720, 780, 840]),
        ("up / PERIOD(up)", [1 / 60, 2 / 60, 4 / 60, 8 / 60, 16 / 60]),
        ("FIRST([gap, up])", M["gap"]),
        ("LAST([gap, up])", M["up"]),
        ("SLICE([gap, up], 1)", M["up"]),
        ("TIME_SERIES(METRIC_COUNT(METRICS()))", [8] * 5),
        ("TIME_SERIES(METRIC_COUNT(REMOVE_EMPTY(METRICS())))", [7] * 5),
        ('SUM(METRICS("up"))', M["up"]),
        ("e2 + 1", [3, 4, 6, 10, 18]),
    ],
)
def test_expressions(text: str, points: Points) -> None:
    (found,) = result(text, e2="up + 1")
    assert (found.id, found.label) == ("e", "e")
    assert listed(found) == [None if point is None else pytest.approx(point) for point in points]


def test_arrays_have_a_result_for_each_series() -> None:
    assert [listed(one) for one in result("[up, gap] * 2")] == [[2, 4, 8, 16, 32], [2, None, None, 8, None]]
    assert [one.label for one in result("[up, gap]")] == ["up", "gap"]
    assert [one.label for one in result("SORT([gap, up, t, empty], MAX, DESC)")] == ["t", "up", "gap", "empty"]
    assert [one.label for one in result("SORT([gap, up, t], SUM, ASC, 2)")] == ["gap", "up"]
    assert [one.label for one in result("SLICE([gap, up, t], 1, 9)")] == ["up", "t"]
    assert result("SLICE([gap], 3)") == ()
    assert [listed(one) for one in result("IF([c, gap], 1, 0)")] == [[1, 1, 0, 0, None], [1, None, None, 1, None]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("AVG(up)", "is a number, and has to be a series"),
        ("5", "is a number, and has to be a series"),
        ("AVG(empty) * up", "AVG of a series without datapoints"),
        ("[up] + [gap]", "takes one array at most"),
        ("[up, 5]", "no numbers"),
        ("1 / 0 + up", "1 / 0 is no number"),
        ("ABS(up, gap)", "ABS takes 1 arguments, and has 2"),
        ("NOPE(up)", "There is no function NOPE"),
        ("FILL(up, NEVER)", "FILL takes one of REPEAT, LINEAR"),
        ("PERIOD(5)", "PERIOD takes one series, and has a number"),
        ("METRICS(5)", "METRICS takes nothing"),
        ("UP + 1", "UP is the id of no metric"),
        ("ABS('x')", "is an argument of METRICS alone"),
        ("10 ^ 400 * up", "is no number"),
    ],
)
def test_what_has_no_value(text: str, sentence: str) -> None:
    with pytest.raises(InvalidMath, match=r".*" + sentence.replace("(", "\\(")):
        result(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "where a metric, a number or a function is expected"),
        ("up +", "where a metric"),
        ("up gap", "'gap' where an operator is expected"),
        ("(up", "where \\) is expected"),
        ("up # 1", "cannot be read from '# 1'"),
        ("SEARCH('x', 'Sum')", "SEARCH is not built"),
        ("SELECT AVG(x) FROM y", "Metrics Insights"),
        ("(" * 60 + "up" + ")" * 60, "nested more than 50 deep"),
        ("-" * 60 + "up", "nested more than 50 deep"),
        ("up + " * 500 + "up", "2502 characters"),
    ],
)
def test_what_cannot_be_read(text: str, sentence: str) -> None:
    with pytest.raises(InvalidMath, match=sentence):
        parse_math(text)


def test_a_long_chain_of_operators_is_no_deep_one() -> None:
    assert listed(result("+".join(["up"] * 600))[0]) == [600, 1200, 2400, 4800, 9600]


def test_unknown_ids_and_circles() -> None:
    with pytest.raises(InvalidMath, match="The expression e uses nope"):
        evaluate({"e": parse_math("nope + 1")}, METRICS, ASKED)
    with pytest.raises(InvalidMath, match="a, b use each other in a circle"):
        order_of({"a": parse_math("b"), "b": parse_math("a + 1"), "z": parse_math("up")}, METRICS)
    with pytest.raises(InvalidMath, match="calls NOPE"):
        check_alarm_expressions({"e": parse_math("NOPE(up)")}, METRICS)
    check_alarm_expressions({"e": parse_math("SUM(METRICS())")}, METRICS)
    found = evaluate({"a": parse_math("b + 1"), "b": parse_math("AVG(empty)")}, METRICS, ASKED)
    assert [str(found[name]) for name in "ab"] == [
        "The expression uses b, which has no value.",
        "AVG of a series without datapoints is no number.",
    ]


def test_the_metrics_of_an_alarm() -> None:
    metric = AlarmQuery("m", None, 60, False)
    result_of = AlarmQuery("e", parse_math("m * 2"), None, True)
    check_alarm_queries([metric, result_of])
    check_alarm_queries([metric._replace(returns_data=True)])
    for queries, sentence in (
        ([metric], "Exactly one"),
        ([metric._replace(returns_data=True), result_of], "Exactly one"),
        ([metric, metric._replace(id="n", period_s=300), result_of], "same period"),
        ([metric, metric, result_of], "differ"),
        ([metric._replace(id="M"), result_of], "lower-case letter"),
        ([result_of], "uses m"),
        ([*(metric._replace(id=f"m{at}") for at in range(10)), result_of], "at most 10"),
    ):
        with pytest.raises(InvalidMath, match=sentence):
            check_alarm_queries(queries)


def test_a_number_may_be_used_by_another_expression() -> None:
    assert listed(result("up / e2", e2="MAX(up)")[0]) == [1 / 16, 2 / 16, 4 / 16, 8 / 16, 1]


def test_arrays_of_arrays_do_not_multiply_without_end() -> None:
    expressions = {"e0": parse_math("[up]")}
    for at in range(1, 40):
        expressions[f"e{at}"] = parse_math(f"[{', '.join([f'e{at - 1}'] * 10)}]")
    found = evaluate(expressions, METRICS, ASKED)
    assert isinstance(found["e2"], tuple)
    assert len(found["e2"]) == 100 < MAX_SERIES
    assert isinstance(found["e3"], InvalidMath)
    assert isinstance(found["e39"], InvalidMath)


def test_labels_show_what_differs() -> None:
    same = MetricQuery("m", "Sum", 60)
    assert default_labels([same, same]) == ["m", "m"]
    assert default_labels([same, MetricQuery("m", "Average", 60)]) == ["m Sum", "m Average"]
    assert default_labels([same, MetricQuery("m", "Sum", 300)]) == ["m 60", "m 300"]
    assert default_labels([same, MetricQuery("n", "Average", 300)]) == ["m Sum 60", "n Average 300"]


WORDS = [
    *FUNCTIONS,
    *M,
    "METRICS",
    "REPEAT",
    "ASC",
    "MAX",
    "(",
    ")",
    "[",
    "]",
    ",",
    "+",
    "-",
    "/",
    "^",
    "<",
    "AND",
    "2",
]


@given(st.lists(st.sampled_from(WORDS), max_size=14))
def test_any_words_are_an_expression_or_refused(words: list[str]) -> None:
    try:
        node = parse_math(" ".join(words))
        found = evaluate({"e": node}, METRICS, ASKED)["e"]
    except InvalidMath:
        return
    if isinstance(found, tuple):
        assert all(math.isfinite(value) for one in found for value in one.points.values())
        assert all(list(one.points) == sorted(one.points) for one in found)


TREES = st.recursive(
    st.sampled_from(["up", "gap", "neg", "2", "0.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "<", "==", "AND", "OR"]), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        inner.map(lambda part: f"ABS({part})"),
        inner.map(lambda part: f"-({part})"),
        st.tuples(inner, inner).map(lambda parts: f"IF({parts[0]}, {parts[1]}, 1)"),
    ),
    max_leaves=8,
)


@given(TREES)
def test_expressions_of_the_grammar_are_read(text: str) -> None:
    assert names_in(parse_math(text)) <= M.keys()


@given(st.text(max_size=20))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        parse_math(text)
    except InvalidMath:
        return
