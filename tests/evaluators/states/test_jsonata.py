"""JSONata of state machines: AWS's functions, texts of failures, and budgets."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.states import jsonata_engine
from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.expression_text import variable_names
from batchyard.evaluators.states.jlens_engine import MAX_DISTINCT_ITEMS, JlensEngine, distinct_of_many
from batchyard.evaluators.states.jsonata import (
    UNDEFINED,
    Expression,
    compile_expression,
    compile_jsonata_template,
    is_expression,
)
from batchyard.evaluators.states.jsonata_budget import EvaluationError
from batchyard.evaluators.states.jsonata_functions import FUNCTION_NAMES, functions_of
from batchyard.evaluators.states.jsonata_python_engine import JsonataPythonEngine
from batchyard.evaluators.states.scope import Scope

STATES = {"states": {"input": {"list": [0, 1, 2, 3], "text": "x", "none": None}, "context": {"State": {"Name": "S"}}}}


@pytest.fixture(params=[JlensEngine, JsonataPythonEngine], ids=["jlens", "python"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("batchyard.evaluators.states.jsonata.ENGINE", request.param())
    return str(request.node.callspec.id)


def value_of(text: str, scope: Scope | None = None) -> Any:
    return compile_expression(text, "Output").evaluate(STATES, scope or Scope(seed="s"))


def cause_of(text: str, field: str = "Output", scope: Scope | None = None) -> str:
    with pytest.raises(StateError) as raised:
        compile_expression(text, field).evaluate(STATES, scope or Scope())
    assert raised.value.error == "States.QueryEvaluationError"
    assert raised.value.location == field
    return raised.value.cause


VALUES = [
    ("1 + 1", 2),
    ("null", None),
    ("$states.input.none", None),
    ("$states.input.text & '!'", "x!"),
    ("$states.context.State.Name", "S"),
    ("$sum($states.input.list)", 6),
    ("[1.5, true, null]", [1.5, True, None]),
    ("{'a': $states.input.list[0]}", {"a": 0}),
    ("$partition($states.input.list, 3)", [[0, 1, 2], [3]]),
    ("$partition([0], 5)", [[0]]),
    ("$range(0, 10, 3)", [0, 3, 6, 9]),
    ("$range(1, 9, 9)", 1),
    ("$range(3, 1, -1)", [3, 2, 1]),
    ("$hash('a', 'SHA-1')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
    ("$hash({'a': 1}, 'MD5')", "bb6cb5c68df4652941caf652a366f2d8"),
    ("$parse('[1, 2.5, \"x\"]')", [1, 2.5, "x"]),
    ("$parse('-0')", 0),
    ("$parse('null')", None),
    ("$parse('[null, [1]]')", [None, [1]]),
    ("$parse('{\"a\": [{}]}').a", [{}]),
    ("$map(['1', 'true'], $parse)", [1, True]),
    ("$random(7) = $random(7)", True),
    ("$random(42)", 0.7275636800328681),
    ("$random(0)", 0.730967787376657),
    ("$random() = $random()", False),
    ("$uuid() = $uuid()", False),
    ("$length($uuid())", 36),
    ("$fromMillis($millis())", "1970-01-01T00:00:05.000Z"),
    ("$now()", "1970-01-01T00:00:05.000Z"),
    ("$count($distinct([1, 1, 2]))", 2),
    ("$x.a[1]", "second"),
    ("$replace('aab', /a+/, 'c')", "cb"),
]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_an_expression_has_its_value(text: str, expected: Any) -> None:
    scope = Scope(variables={"x": {"a": ["first", "second"]}}, seed="s", now_ms=5000)
    result = value_of(text, scope)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.usefixtures("engine")
def test_random_values_are_derived_from_the_seed_of_the_scope() -> None:
    drawn = [value_of("[$random(), $uuid()]", Scope(seed=seed)) for seed in ("a", "a", "b")]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 0 <= drawn[0][0] < 1


EVALUATING = "threw an error during evaluation. "
FAILURES = [
    ("$doesNotExist", "returned nothing (undefined)."),
    ("$states.input.nope", "returned nothing (undefined)."),
    ("$", "returned nothing (undefined)."),
    ("$fn := function($x){$x}", "returned an unsupported result type."),
    ("$sum", "returned an unsupported result type."),
    ("$randomSeeded(1)", "threw an error during evaluation. T1006: Attempted to invoke a non-function"),
    ("$eval('1')", "threw an error during evaluation. T1006: Attempted to invoke a non-function"),
    (
        "$hash('a', 'CRC')",
        'threw an error during evaluation. T0410: Argument 2 of function "hash" does not match function signature',
    ),
    (
        "$partition(1, 2)",
        'threw an error during evaluation. T0410: Argument 1 of function "partition" does not match function signature',
    ),
    (
        "$range(1, 2, 0)",
        'threw an error during evaluation. T0410: Argument 3 of function "range" does not match function signature',
    ),
    (
        "$range(1, 5000, 1)",
        f"{EVALUATING}D2014: The size of the sequence allocated by $range must not exceed 1000 items",
    ),
    ("$error('boo')", "threw an error during evaluation. D3137: boo"),
]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("text", "what"), FAILURES)
def test_a_failure_has_the_text_of_aws(text: str, what: str) -> None:
    expected = f"The JSONata expression '{text}' specified for the field 'Output/a' {what}"
    assert cause_of(f"{{%  {text} %}}", "Output/a") == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1", "'number' for value: 1"),
        ("'string'", "'string' for value: \"string\""),
        ("true", "'boolean' for value: true"),
        ("{'foo': 'bar'}", '\'object\' for value: {"foo":"bar"}'),
        ("null", "'null' for value: null"),
    ],
)
def test_a_result_of_another_type_is_an_error(text: str, found: str) -> None:
    expression = compile_expression(text, "Items")
    with pytest.raises(StateError) as raised:
        expression.evaluate_as(("array",), STATES, Scope())
    assert raised.value.cause == (
        f"The JSONata expression '{text}' specified for the field 'Items' returned an unexpected result type. "
        f"Expected 'array', but was {found}"
    )
    assert compile_expression("[1]", "Items").evaluate_as(("array",), STATES, Scope()) == [1]


@pytest.mark.parametrize("text", ["1/0", "[-1/0]", "1/0 > 5", "$string(1e308 * 10)"])
def test_a_number_that_json_cannot_have_fails(engine: str, text: str) -> None:
    assert "threw an error during evaluation. D1001: Number out of range: " in cause_of(text)


TIME = "threw an error during evaluation: Expression evaluation timeout: Check for infinite loop"
MEMORY = (
    "threw an error during evaluation: Expression evaluation memory limit exceeded: Check for excessive memory usage"
)
STACK = "threw an error during evaluation: Stack overflow error: Check for non-terminating recursive function."


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("($f := function($x){$f($x)}; $f(1))", TIME),
        ("($f := function($x){1 + $f($x)}; $f(1))", STACK),
        ("$map([1..873782], function($v){$v * 2})", TIME),
        ("[1..10000000]", MEMORY),
        ("($s := $pad('x', 4194304); $s & $s)", MEMORY),
        ("$count([1..873783])", MEMORY),
    ],
)
def test_an_expression_without_end_is_stopped(text: str, what: str) -> None:
    assert what in cause_of(text)


def test_the_range_that_aws_evaluates_is_within_the_budget() -> None:
    assert value_of("$count([1..873782])") == 873782


@pytest.mark.parametrize("text", ["($f := function($x){1 + $f($x)}; $f(1))", "$match($pad('', 40, 'a'), /(a+)+b/)"])
def test_the_fallback_stops_too(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchyard.evaluators.states.jsonata.ENGINE", JsonataPythonEngine())
    assert "threw an error during evaluation" in cause_of(text)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("text", ["", "1 +", "[1", "1) + (2", "'a", "((((" * 500, "/* only a comment */", "%.a"])
def test_what_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(InvalidExpression) as raised:
        compile_expression(text)
    assert raised.value.message


def test_distinct_of_many_items_takes_linear_time() -> None:
    count = MAX_DISTINCT_ITEMS * 4
    assert value_of(f"$count($distinct([1..{count}]))") == count
    assert value_of(f"$distinct($append([1..{count}], ['1', 1, true, 'a', 'a']))")[-3:] == ["1", True, "a"]


@given(st.lists(st.one_of(st.integers(0, 3), st.booleans(), st.none(), st.text("ab", max_size=1), st.just({"a": 1}))))
def test_distinct_of_many_agrees_with_the_library(items: list[Any]) -> None:
    scope = Scope(variables={"items": items})
    expected = compile_expression("[$distinct($items)]").evaluate({}, scope)
    assert [(type(item), item) for item in distinct_of_many(items)] == [(type(item), item) for item in expected]


def test_only_what_is_read_is_handed_over() -> None:
    read = compile_expression("$states.input.a.b + $limit")
    assert read.variables() == ["limit"]
    assert read.reads_of_states() == {"input": {"a": {"b": True}}}
    unreadable = object()
    states = {"input": {"a": {"b": 1, "other": unreadable}, "more": unreadable}, "context": unreadable}
    assert read.evaluate({"states": states}, Scope(variables={"limit": 2, "other": unreadable})) == 3


def test_functions_of_aws_are_no_variables() -> None:
    text = "$uuid() & $count($hash('x','MD5')) & $string($a)"
    text += " & ($b := 1; $b) & $states.input & $map([1], function($q){$q + $c})"
    assert compile_expression(text).variables() == ["a", "c"]
    assert compile_expression(text).variables(frozenset({"count", "other"})) == ["a", "c", "count"]
    assert compile_expression("$count + 1").evaluate({}, Scope(variables={"count": 1})) == 2


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("text", ["($x := $x.a; $x.b)", "($f := function($x){$sum($x)}; {'b': $f($x.a.b)}.b)"])
def test_a_name_that_the_expression_binds_itself_is_a_variable_before(text: str) -> None:
    assert compile_expression(text).evaluate({}, Scope(variables={"x": {"a": {"b": 7}}})) == 7


def test_undefined_may_be_asked_for() -> None:
    assert compile_expression("$nope").evaluate_or_undefined({}, Scope()) is UNDEFINED
    assert compile_expression("null").evaluate_or_undefined({}, Scope()) is None


@pytest.mark.usefixtures("engine")
def test_a_template_evaluates_its_expressions_where_they_stand() -> None:
    document = {"a": "{% 1 + 1 %}", "b": [" {% 1 %}", {"c": "{%$states.input.list%}"}], "d": None, "e": "{% 1"}
    template = compile_jsonata_template(document, "Arguments")
    assert [expression.field for expression in template.expressions] == ["Arguments/a", "Arguments/b[1]/c"]
    assert template.evaluate(STATES, Scope()) == {
        "a": 2,
        "b": [" {% 1 %}", {"c": [0, 1, 2, 3]}],
        "d": None,
        "e": "{% 1",
    }
    failing = compile_jsonata_template({"values": ["{% 1 %}", "{% $nope %}"]}, "Output")
    with pytest.raises(StateError) as raised:
        failing.evaluate(STATES, Scope())
    assert raised.value.location == "Output/values[1]"


def test_only_a_string_that_is_wholly_marked_is_an_expression() -> None:
    assert [
        value for value in ("{%1%}", "{% 1 %}", "{%%}", " {% 1 %}", "{% 1 %} ", "{%}", 1, None) if is_expression(value)
    ] == [
        "{%1%}",
        "{% 1 %}",
        "{%%}",
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("$a + $b.c", ["a", "b"]),
        ("'$no' & \"$no\" & `$no` /* $no */ & $yes", ["yes"]),
        ("$match($a, /$no\\/$no/i)", ["match", "a"]),
        ("$a / $b / $c", ["a", "b", "c"]),
        ("(1) / $b / 2", ["b"]),
        ("$ + $$.x", ["", "$"]),
        ("$é1", ["é1"]),
        ("$a and /$no/", ["a"]),
        ("$a & 'open $no", ["a"]),
        ("$a /* open $no", ["a"]),
    ],
)
def test_variables_are_found_in_the_text(text: str, names: list[str]) -> None:
    assert variable_names(text) == names


@given(st.text(alphabet="ab$/'\"`*. ()[]{}|~>\\1\n", max_size=60))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    variable_names(text)
    try:
        expression: Expression = compile_expression(text)
    except InvalidExpression:
        return
    try:
        expression.evaluate(STATES, Scope())
    except StateError as error:
        assert error.cause  # noqa: PT017 -- either outcome is right


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.just("SHA-1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(st.sampled_from(sorted(FUNCTION_NAMES)), st.lists(values, max_size=4))
def test_any_arguments_of_a_function_have_a_value_or_an_error(name: str, arguments: list[Any]) -> None:
    bindings = {f"a{index}": value for index, value in enumerate(arguments)}
    text = f"${name}({', '.join(f'${name}' for name in bindings)})"
    for function in (functions_of(Scope())[name], lambda *_: compile_expression(text).evaluate(bindings, Scope())):
        try:
            function(*arguments)
        except (EvaluationError, StateError) as error:
            assert str(error)  # noqa: PT017 -- either outcome is right


@pytest.mark.parametrize("text", ["$hash($v, 'MD5')", "$partition($v, 1)", "$parse($string($v))", "$v"])
def test_deeply_nested_values_are_no_fault_of_ours(text: str) -> None:
    value: Any = 1
    for _ in range(900):
        value = [value]
    nested = Scope(variables={"v": value})
    for expected in ("array", "object"):
        with contextlib.suppress(StateError):
            compile_expression(text).evaluate_as((expected,), {}, nested)


@pytest.mark.parametrize("name", ["range", "parse", "distinct", "hash", "count", "eval"])
def test_a_variable_may_have_the_name_of_a_function(name: str) -> None:
    scope = Scope(variables={name: [1, {"a": 2}]})
    assert value_of(f"true ? ${name}[1].a : 0", scope) == 2


def test_functions_of_aws_are_applied_partially() -> None:
    assert value_of("($md5 := $hash(?, 'MD5'); $md5('x') = $hash('x', 'MD5'))") is True
    assert value_of("$map([[1, 2]], $partition(?, 1))") == [[1], [2]]
    assert value_of("$range(0, ?, 2)(4)") == [0, 2, 4]


def test_jlens_is_what_this_platform_uses() -> None:
    assert isinstance(jsonata_engine.ENGINE, JlensEngine)
