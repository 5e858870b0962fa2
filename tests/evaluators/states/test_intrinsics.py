"""Intrinsic functions, as recorded from AWS."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.intrinsics import compile_intrinsic, is_intrinsic
from batchyard.evaluators.states.scope import Scope

CONTEXT = {"Execution": {"Name": "e-1"}, "StateMachine": {"Id": "arn", "Name": "m-a-b"}}


def evaluated(text: str, document: Any = None, **variables: Any) -> Any:
    return compile_intrinsic(text).evaluate(Scope(document, CONTEXT, variables, "seed"))


MANY = {"a": {"a1": 1, "a2": 2}, "b": 2, "d": 3}
KINDS = [
    None,
    None,
    True,
    True,
    False,
    1,
    1,
    1.1,
    0,
    "x",
    "x",
    [],
    [],
    [None],
    [None],
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
]

VALUES: list[tuple[str, Any, Any]] = [
    ("States.Array()", None, []),
    (
        "States.Array($.a, 'b', 1, 1.5, -2e1, true, false, null)",
        {"a": "{}"},
        ["{}", "b", 1, 1.5, -20.0, True, False, None],
    ),
    ("States.ArrayPartition($, 2)", [], []),
    ("States.ArrayPartition($, 2)", [0, 1, 2], [[0, 1], [2]]),
    ("States.ArrayPartition($, 5)", [0, 1], [[0, 1]]),
    ("States.ArrayPartition($, 2.6)", [1, 2, 3], [[1, 2], [3]]),
    ("States.ArrayContains($[0], $[1])", [[], []], False),
    ("States.ArrayContains($[0], $[1])", [[[1, 2, 3], 2], None], False),
    ("States.ArrayContains($[0], $[1])", [[[1, 2, 3], 2], [1, 2, 3]], True),
    ("States.ArrayContains($[0], $[1])", [[{"1": 2, "2": []}], {"1": 2, "2": []}], True),
    ("States.ArrayContains($[0], $[1])", [[{"1": 2, "2": []}], {"2": [], "1": 2}], False),
    ("States.ArrayContains($[0], $[1])", [[1], True], False),
    ("States.ArrayContains($[0], $[1])", [["true", "7"], True], True),
    ("States.ArrayContains($[0], $[1])", [["true", "7"], 7], True),
    ("States.ArrayRange(0, 9, 3)", None, [0, 3, 6, 9]),
    ("States.ArrayRange(0, 10, 3)", None, [0, 3, 6, 9]),
    ("States.ArrayRange(1, 9, 9)", None, [1]),
    ("States.ArrayRange(5, 1, -2)", None, [5, 3, 1]),
    ("States.ArrayRange(5, 1, 1)", None, []),
    ("States.ArrayRange(5.4, -0.6, -2.4)", None, [5, 3, 1]),
    ("States.ArrayGetItem($, 5)", [1, 2, 3, 4, 5, 6], 6),
    ("States.ArrayGetItem($, 1.9)", [1, 2], 2),
    ("States.ArrayGetItem($, 999)", [], None),
    ("States.ArrayLength($)", [1, 2, 3], 3),
    ("States.ArrayUnique($)", KINDS, [None, True, False, 1, 1.1, 0, "x", [], [None], {"a": 1, "b": 2}]),
    ("States.ArrayUnique($)", ["b", "a", "b"], ["b", "a"]),
    ("States.Base64Encode($)", "Data to encode", "RGF0YSB0byBlbmNvZGU="),
    ("States.Base64Encode('')", None, ""),
    ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", None, "Data to encode"),
    ("States.Base64Decode($)", " w6Q! ", "ä"),
    ("States.Base64Decode($)", "YWJjZA==YWJj", "abcd"),
    ("States.Base64Decode($)", "YWJjY", "abc"),
    ("States.Base64Decode($)", "/w==", "\ufffd"),
    ("States.Hash('input data', 'MD5')", None, "812f45842bc6d66ee14572ce20db8e86"),
    ("States.Hash('input data', 'SHA-1')", None, "aaff4a450a104cd177d28d18d74485e8cae074b7"),
    (
        "States.Hash('input data', 'SHA-256')",
        None,
        "b4a697a057313163aee33cd8d40c66e9f0f177e00cac2de32475ffff6169c3e3",
    ),
    ("States.Hash($, 'MD5')", {"a": 1}, "bb6cb5c68df4652941caf652a366f2d8"),
    (
        'States.JsonMerge($, States.StringToJson(\'{"a": 1, "c": {}}\'), false)',
        MANY,
        {"a": 1, "b": 2, "d": 3, "c": {}},
    ),
    ("States.StringToJson('')", None, None),
    ("States.StringToJson(' ')", None, None),
    ("States.StringToJson('-0')", None, 0),
    ("States.StringToJson('[1.10, \"x\"]')", None, [1.1, "x"]),
    ("States.JsonToString($)", {"Arg1": 1, "Arg2": []}, '{"Arg1":1,"Arg2":[]}'),
    ("States.JsonToString($)", "ä", '"ä"'),
    ("States.Format('no {} more {}.', $[0], $[1])", [None, 1.1], "no null more 1.1."),
    ("States.Format('{}{}', 'a', true)", None, "atrue"),
    ("States.Format('{}', $)", {"Arg1": 1, "Arg2": [], "s": 'x"y'}, '{Arg1=1, Arg2=[], s=x"y}'),
    ("States.Format('{}', $$.StateMachine)", None, "{Id=arn, Name=m-a-b}"),
    (r"States.Format('\{\} it\'s \\ {}', 1)", None, r"{} it's \ 1"),
    ("States.Format($.t, 1)", {"t": r"n={} \{\}"}, "n=1 {}"),
    ("States.JsonMerge($, $, 'no')", {"a": 1}, {"a": 1}),
    ("States.MathAdd(2147483647, -1)", None, 2147483646),
    ("States.MathAdd($.a, -1)", {"a": 3}, 2),
    ("States.StringSplit(' , ', ',')", None, [" ", " "]),
    ("States.StringSplit(',,,,', ',')", None, []),
    ("States.StringSplit('This.is+a,test=string', '.+,=')", None, ["This", "is", "a", "test", "string"]),
    ("States.StringSplit('Hello\nWorld', '\n')", None, ["Hello", "World"]),
    ("States.StringSplit($$.StateMachine.Name, '-')", None, ["m", "a", "b"]),
    ("States.ArrayGetItem($, States.MathAdd(States.ArrayLength($), -1))", ["a", "b"], "b"),
    ("States.ArrayLength($.items[?(@.x in ['a,b', ')'])])", {"items": [{"x": ")"}, {"x": "y"}, {"x": "a,b"}]}, 2),
    ("States.ArrayLength( $.items[*].nope )", {"items": [1, 2]}, 0),
]


@pytest.mark.parametrize(("text", "document", "value"), VALUES)
def test_a_function_gives(text: str, document: Any, value: Any) -> None:
    found = evaluated(text, document)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [
        (-9, 3, -6),
        (1.49, 1.5, 3),
        (1.5, 1.51, 4),
        (-1.49, -1.5, -2),
        (-1.5, 0, -1),
        (-1.51, 0, -2),
        (2.5, 0, 3),
        (0.5, 0, 1),
        (-0.5, 0.5, 1),
        (-0.5, 0, 0),
        (-2.5, 0, -2),
        (-3.5, 0, -3),
        (0.49999999999999994, 0, 0),
    ],
)
def test_sums_round_each_argument_half_up_first(first: float, second: float, total: int) -> None:
    assert evaluated("States.MathAdd($[0], $[1])", [first, second]) == total


def test_random_numbers_are_within_their_range_and_repeatable_by_seed() -> None:
    scope = Scope({"a": -5, "b": 5.4}, seed="s")
    drawn = [compile_intrinsic("States.MathRandom($.a, $.b)").evaluate(scope) for _ in range(200)]
    assert set(drawn) == set(range(-5, 5))
    assert evaluated("States.MathRandom(0, 999, 3)") == evaluated("States.MathRandom(0, 999, 3)")
    assert len({evaluated(f"States.MathRandom(0, 999999, {seed})") for seed in range(20)}) > 15


def test_uuids_are_derived_from_the_seed_of_the_scope() -> None:
    pair = evaluated("States.Array(States.UUID(), States.UUID())")
    assert pair == evaluated("States.Array(States.UUID(), States.UUID())")
    assert pair[0] != pair[1]
    assert uuid.UUID(pair[0]).version == 4


def test_variables_are_read_and_named() -> None:
    assert evaluated("States.Format('{} {}', $x.y, $name)", x={"y": 1}, name="n") == "1 n"
    assert compile_intrinsic("States.Array($x.y, States.Array($name, $.a))").variables == {"x", "name"}


# -- failures --


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("States.Format('{}',$.nope)", "The JsonPath argument for the field '$.nope'"),
        ("States.Format('{} {}', $.other, $.a.b)", "The JsonPath argument for the field '$.a.b'"),
        ("States.Format('{}', States.Format('{}', $.nope))", "The JsonPath argument for the field '$.nope'"),
        ("States.ArrayGetItem($.items[5], 0)", "The JsonPath argument for the field '$.items[5]'"),
        ("States.Format('{}', $$.Nope.Deep)", "The JsonPath argument for the field '$.Nope.Deep'"),
    ],
)
def test_an_argument_that_is_not_there_fails_with_the_whole_function(text: str, what: str) -> None:
    with pytest.raises(StateError) as failure:
        evaluated(text, {"other": 1, "items": [1]})
    assert failure.value.error == "States.Runtime"
    assert failure.value.cause == (
        f"The function '{text}' had the following error: {what} could not be found in the input "
        """'{"other":1,"items":[1]}'"""
    )
    assert "States.IntrinsicFailure" in failure.value.aliases


def test_an_index_into_something_else_names_it_as_aws_does() -> None:
    with pytest.raises(StateError) as failure:
        evaluated("States.Format('{}', $.other[0])", {"other": 1})
    assert failure.value.cause == (
        "The function 'States.Format('{}', $.other[0])' had the following error: "
        "Filter: [0] can only be applied to arrays. Current context is: 1"
    )


@pytest.mark.parametrize(
    "text",
    [
        "States.ArrayPartition('x', 1)",
        "States.ArrayPartition($, 0)",
        "States.ArrayPartition($, 0.6)",
        "States.ArrayPartition($, '2')",
        "States.ArrayPartition($, null)",
        "States.ArrayContains('x', 1)",
        "States.ArrayRange('a', 5, 1)",
        "States.ArrayRange(1, 10, 0)",
        "States.ArrayRange(1, 1001, 1)",
        "States.ArrayRange(1001, 1, -1)",
        "States.ArrayRange(1, 9007199254740993, 1)",
        "States.ArrayGetItem($, 3)",
        "States.ArrayGetItem($, -1)",
        "States.ArrayGetItem($, true)",
        "States.ArrayLength('x')",
        "States.ArrayUnique(1)",
        "States.Base64Encode(1)",
        "States.Base64Decode()",
        "States.UUID(1)",
        "States.Format()",
        "States.MathAdd(1, 2, 3)",
        "States.MathAdd(2147483647, 1)",
        "States.MathAdd(3000000000, 1)",
        "States.Hash('x', 'SHA-3')",
        "States.Hash('x', 256)",
        "States.JsonMerge($, $, false)",
        "States.JsonMerge(States.StringToJson('{}'), States.StringToJson('{}'), true)",
        "States.StringToJson($)",
        "States.StringToJson('{')",
        "States.StringToJson('NaN')",
        "States.StringToJson('1e999')",
        "States.Format('{} {}', 1)",
        "States.Format('{}')",
        "States.Format(1)",
        "States.MathAdd('1', 1)",
        "States.MathRandom(1.4, 1.6)",
        "States.StringSplit(1, ',')",
        "States.StringSplit('a', 1)",
    ],
)
def test_wrong_arguments_fail_the_state_with_the_name_of_the_function(text: str) -> None:
    with pytest.raises(StateError) as failure:
        evaluated(text, [1, 2, 3])
    name = text.partition("(")[0]
    assert failure.value.error == "States.Runtime"
    assert failure.value.cause.startswith(
        f"There was an error while evaluating the intrinsic function: {text}. Invalid arguments in {name}: "
    )
    assert failure.value.cause.endswith(".")
    assert failure.value.aliases == ("States.IntrinsicFailure",)


@pytest.mark.parametrize(
    ("template", "brace", "missing"),
    [("Hello {", "{", "}"), ("Hello {{}}", "{", "}"), ("}", "}", "{"), ("{x}", "{", "}")],
)
def test_lonely_braces_in_a_template_fail_the_state(template: str, brace: str, missing: str) -> None:
    for text in (f"States.Format('{template}', 1)", "States.Format($, 1)"):
        with pytest.raises(StateError) as failure:
            evaluated(text, template)
        assert failure.value.cause == (
            f"There was an error while evaluating the intrinsic function: {text}. Invalid template in States.Format: "
            f"matching '{missing}' not found for '{brace}'."
        )
    assert evaluated(f"States.StringSplit('{template}', ',')") == [template]


@pytest.mark.parametrize("function", ["Base64Encode($)", "Base64Decode($)", "Hash($, 'MD5')"])
def test_long_texts_are_not_coded(function: str) -> None:
    evaluated(f"States.{function}", "A" * 10_000)
    with pytest.raises(StateError, match="10001 characters"):
        evaluated(f"States.{function}", "A" * 10_001)


@pytest.mark.parametrize(
    "text",
    [
        "States.Nope()",
        "States.Format",
        "States.Format(",
        "States.Format('x'",
        "States.Format('x)",
        "States.Format('x',)",
        "States.Format(,'x')",
        "States.Format('x' 'y')",
        "States.Format('x') more",
        "States.MathAdd(1e, 2)",
        "States.MathAdd(1, 1e999)",
        "States.Array(True)",
        "States.Array(x)",
        'States.Array("x")',
        "States.Array($.)",
        "States.Array($.a b)",
        r"States.Format('\n')",
        r"States.StringToJson('{\"text\":1}')",
        "States.Array(" * 11 + ")" * 11,
        "States.Array('" + "x" * 10_000 + "')",
        "Format('x')",
    ],
)
def test_a_text_that_is_no_call_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidExpression) as fault:
        compile_intrinsic(text)
    assert fault.value.message.endswith(".")


def test_calls_are_nested_ten_deep_and_no_deeper() -> None:
    assert evaluated("States.Array(" * 10 + ")" * 10) == [[[[[[[[[[]]]]]]]]]]


def test_what_functions_build_is_bounded() -> None:
    document = "x" * 200_000
    for text in (
        "States.Array(" + ", ".join("$" for _ in range(300)) + ")",
        "States.Format('" + "{}" * 50 + "'" + ", $" * 50 + ")",
        "States.JsonToString(" * 10 + "$" + ")" * 10,
    ):
        with pytest.raises(StateError) as failure:
            evaluated(text, '"' * 100_000 if "JsonToString" in text else document)
        assert failure.value.error in ("States.DataLimitExceeded", "States.Runtime")


def test_texts_with_half_a_surrogate_pair_do_not_break_functions() -> None:
    assert evaluated("States.Hash($, 'MD5')", "\ud800") == evaluated("States.Hash('?', 'MD5')")
    assert evaluated("States.Base64Encode($)", "\ud800") == "Pw=="
    assert evaluated("States.JsonToString($)", "\ud800") == r'"\ud800"'
    with pytest.raises(StateError) as failure:
        evaluated("States.StringToJson($)", "\ud800")
    assert failure.value.cause.encode()


def test_what_is_meant_as_a_call() -> None:
    assert all(map(is_intrinsic, ("States.Nope", " States.UUID()")))
    assert not any(map(is_intrinsic, ("$.States.UUID()", "states.uuid()", "")))
