"""Paths of states that say JSONPath: what they find, and AWS's words for what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.evaluators.states import path_queries
from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.json_paths import Path, compile_path, compile_reference_path
from batchyard.evaluators.states.scope import Scope

DOCUMENT = {
    "a": {"b": [{"c": 1}, {"c": 2}, {"d": 3}], "null": None},
    "delivery-partner": "UQS",
    "it's": 1,
    'T\\""N"': 2,
    "@type": "x",
    "text": "words",
    "empty": [],
    "users": [{"name": "x", "status": 0}, {"name": "y", "status": 1}, {"status": 1}],
}
SCOPE = Scope(DOCUMENT, {"Execution": {"Id": "arn", "Input": {"x": 1}}}, {"x": {"y": [7]}, "größe": 3})

FOUND: list[tuple[str, Any]] = [
    ("$", DOCUMENT),
    ("$.a.b[0]", {"c": 1}),
    ("$.a.b[-1].d", 3),
    ("$['a']['b'][1]['c']", 2),
    ('$["a"].null', None),
    ("$.delivery-partner", "UQS"),
    (r"$['it\'s']", 1),
    ('$[\'T\\""N"\']', 2),
    ("$.@type", "x"),
    ("$$.Execution.Id", "arn"),
    ("$$", SCOPE.context),
    ("$x.y[0]", 7),
    ("$x", {"y": [7]}),
    ("$größe", 3),
    ("$['text','empty']", {"text": "words", "empty": []}),
    ("$['text','nothing']", {"text": "words"}),
    ("$.['text', 'empty', 'nothing']", {"text": "words", "empty": []}),
    ("$.a.['b'].[0].c", 1),
    ("$.a.b.[*].c", [1, 2]),
    ("$.a.b[*]", [{"c": 1}, {"c": 2}, {"d": 3}]),
    ("$.a.b[*].c", [1, 2]),
    ("$.a.b[0,2]", [{"c": 1}, {"d": 3}]),
    ("$.a.b[1:]", [{"c": 2}, {"d": 3}]),
    ("$.a.b[:1].c", [1]),
    ("$.a.b[-2:]", [{"c": 2}, {"d": 3}]),
    ("$.a.b[0:9].c", [1, 2]),
    ("$.a.*", [DOCUMENT["a"]["b"], None]),  # type: ignore[index]
    ("$..c", [1, 2]),
    ("$.a..['c','d']", [{}, {"c": 1}, {"c": 2}, {"d": 3}]),
    ("$.nothing.at[*].all", []),
    ("$.empty[*]", []),
    ("$.text[*]", []),
    ("$.users[?(@.status == 0)]", [{"name": "x", "status": 0}]),
    ("$.users[?(@.status==1)].name", ["y"]),
    ("$.users[?(@.name)].status", [0, 1]),
    ("$.users[?(!@.name)]", [{"status": 1}]),
    ("$.users[?(@.name == 'y' || @.status < 1)].name", ["x", "y"]),
    ("$.users[?(@.name && @.status != 1)].name", ["x"]),
    ("$.users[?(!(@.status == 1 && @.name == 'y'))].status", [0, 1]),
    ("$.users[?(@.name in ['y','z'])].name", ["y"]),
    ("$.users[?(@.name nin ['y'])].status", [0]),
    ("$.users[?(@.name =~ /[x-z]/)].name", ["x", "y"]),
    ("$.users[?(@.name =~ /./ && @.status >= $.users[1].status)].name", ["y"]),
    ("$.users[?(@.status == '1')].name", ["y"]),
    ("$.users[?(@.status <= 0.5)].name", ["x"]),
    ("$.users[?(@['name'] > 'x')].name", ["y"]),
    ("$.a[?(@.b size 3)].null", [None]),
    ("$..[?(@.b size 3)].null", [None]),
    ("$..[?(@.empty empty true)].text", ["words"]),
    ("$..[?(@.b contains 1)]", []),
    ("$..[?(@.users[*].status subsetof [0, 1, 2])].text", ["words"]),
    ("$..[?(@.users[*].status anyof [1])].text", ["words"]),
    ("$..[?(@.users[*].status noneof [1])].text", []),
    ("$.users[?(@.name == null)]", []),
]


@pytest.mark.parametrize(("text", "value"), FOUND)
def test_a_path_finds(text: str, value: Any) -> None:
    path = compile_path(text)
    assert path.find(SCOPE) == value
    assert path.find_or(SCOPE, "default") == value


@pytest.mark.parametrize(
    ("text", "is_definite", "is_reference"),
    [
        ("$", True, True),
        ("$.a['b'][0]", True, True),
        ("$$.Execution.Id", True, True),
        ("$['a','b']", True, False),
        ("$['a','b'].c", False, False),
        ("$[0,1]", False, False),
        ("$[0:1]", False, False),
        ("$.a[*]", False, False),
        ("$..a", False, False),
        ("$[?(@.a)]", False, False),
    ],
)
def test_definite_and_reference_paths(text: str, is_definite: bool, is_reference: bool) -> None:
    path = compile_path(text)
    assert (path.is_definite, path.is_reference) == (is_definite, is_reference)


JAYWAY = (
    "This is not a json object according to the JsonProvider: 'com.jayway.jsonpath.spi.json.JsonSmartJsonProvider'."
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$.No", "No results for path: $['No']"),
        ("$.a.No", "No results for path: $['a']['No']"),
        ("$.No.b", "Missing property in path $['No']"),
        ("$.a.x.y.z", "Missing property in path $['a']['x']"),
        ("$.a.b[3]", "No results for path: $['a']['b'][3]"),
        ("$.a.b[-4].c", "No results for path: $['a']['b'][-4]['c']"),
        ("$.a.null[0]", "The path $['a']['null'] is null"),
        ("$.text[0]", "Filter: [0] can only be applied to arrays. Current context is: words"),
        (
            "$.text.x",
            f"Expected to find an object with property ['x'] in path $['text'] but found 'java.lang.String'. {JAYWAY}",
        ),
        (
            "$.a.null.x",
            f"Expected to find an object with property ['x'] in path $['a']['null'] but found 'null'. {JAYWAY}",
        ),
        ("$y", "No results for path: $y"),
        ("$.text['x','y']", "No results for path: $['text']"),
    ],
)
def test_a_definite_path_that_finds_nothing_fails_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(StateError) as failure:
        compile_path(text).find(SCOPE)
    assert (failure.value.error, failure.value.cause) == ("States.Runtime", f"Invalid path '{text}' : {reason}")
    assert compile_path(text).find_or(SCOPE, "default") == "default"


def test_the_text_of_templates_names_the_field_and_shows_the_input() -> None:
    scope = Scope({"int-literal": 0, "list": [1]}, {"Execution": {}})
    with pytest.raises(StateError) as failure:
        compile_path("$.no").find(scope, "value.$")
    assert failure.value.error == "States.Runtime"
    assert failure.value.cause == (
        "The JSONPath '$.no' specified for the field 'value.$' could not be found in the input "
        """'{"int-literal":0,"list":[1]}'"""
    )
    assert failure.value.aliases == ("States.ParameterPathFailure",)
    with pytest.raises(StateError, match=r"'\$\$\.No' specified for the field 'x\.\$'.*input '\{\"Execution\":\{\}\}'"):
        compile_path("$$.No").find(scope, "x.$")


def test_an_index_past_the_end_is_null_where_asked() -> None:
    scope = Scope({"list": [1]})
    assert compile_path("$.list[5]").find(scope, "x.$", null_past_end=True) is None
    for text in ("$.list[5].x", "$.no[5]", "$.no"):
        with pytest.raises(StateError):
            compile_path(text).find(scope, "x.$", null_past_end=True)


@pytest.mark.parametrize(
    ("text", "step"), [("$.No", "No"), ("$.a.No.b", "No"), ("$.text[0]", "0"), ("$.a.b[7]", "7"), ("$['x','y']", None)]
)
def test_items_that_are_not_there_name_the_step(text: str, step: str | None) -> None:
    path = compile_path(text)
    if step is None:
        assert path.find_items(SCOPE) == {}
        return
    with pytest.raises(StateError) as failure:
        path.find_items(SCOPE)
    assert failure.value.error == "States.ReferencePathConflict"
    assert failure.value.cause.startswith(f'Unable to apply step "{step}" to input {{"a":{{"b":')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "$a b",
        "$.",
        "$.a.",
        "$..",
        "$[",
        "$[]",
        "$[a]",
        "$['a]",
        "$['a'",
        "$.a b",
        "$.list.length()",
        "$.list.sum($.x)",
        "$[0:1:2]",
        "$[1,]",
        "$[?(@.a]",
        "$[?@.a]",
        "$[?()]",
        "$[?(1)]",
        "$[?(@.a == )]",
        "$[?(@.a = 1)]",
        "$[?(@.a =~ 'x')]",
        "$[?(@.a == /x/)]",
        "$[?(@.a =~ /(/)]",
        "$[?(@.a =~ /x/i)]",
        "$[?(@.a in [[1]])]",
        "$[?" + "(" * 11 + "@.a" + ")" * 11 + "]",
        "$$x",
        "$1",
        "$.a" * 5000,
        "States.Format('x')",
    ],
)
def test_a_text_that_is_no_path_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidExpression) as fault:
        compile_path(text)
    assert fault.value.message.endswith(".")


def test_a_path_knows_its_variable_and_its_text_within_the_context_object() -> None:
    assert compile_path("$x.y").variables == {"x"}
    assert compile_path("$$.x").variables == frozenset() == compile_path("$.x").variables
    assert compile_path("$$.Map.Item").rooted_text == "$.Map.Item"
    assert compile_path("$x.y").rooted_text == "$x.y"


# -- ResultPath --


def test_a_value_is_put_at_a_reference_path_and_the_given_document_stays() -> None:
    document = {"a": {"b": 1}, "list": [1, {"x": 2}]}
    for text, expected in [
        ("$", "new"),
        ("$.c", {**document, "c": "new"}),
        ("$.a.b", {**document, "a": {"b": "new"}}),
        ("$.a.c.d", {**document, "a": {"b": 1, "c": {"d": "new"}}}),
        ("$.list[0]", {**document, "list": ["new", {"x": 2}]}),
        ("$.list[1].x", {**document, "list": [1, {"x": "new"}]}),
        ("$['b c']", {**document, "b c": "new"}),
    ]:
        assert compile_reference_path(text).put(document, "new") == expected
    assert document == {"a": {"b": 1}, "list": [1, {"x": 2}]}


@pytest.mark.parametrize(
    ("text", "document", "step"),
    [
        ("$.a", [], "a"),
        ("$.a", "text", "a"),
        ("$.a.b", {"a": 1}, "b"),
        ("$.a.b", {"a": None}, "b"),
        ("$.a[3]", {"a": [1, 2]}, "3"),
        ("$.a[0]", {}, "0"),
        ("$.a[-1]", {"a": [1]}, "-1"),
        ("$[0]", {"a": [1]}, "0"),
    ],
)
def test_a_value_that_cannot_be_put_fails(text: str, document: Any, step: str) -> None:
    with pytest.raises(StateError) as failure:
        compile_reference_path(text).put(document, 1)
    assert failure.value.error == "States.ResultPathMatchFailure"
    assert failure.value.cause.startswith(f'Unable to apply step "{step}" to input ')


@pytest.mark.parametrize("text", ["$.a[*]", "$$.a", "$x", "$['a','b']"])
def test_a_result_path_is_a_reference_path_into_the_input(text: str) -> None:
    with pytest.raises(InvalidExpression, match="Value is not a Reference Path"):
        compile_reference_path(text)


# -- cost --


def test_a_path_that_looks_at_too_many_values_fails_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_queries, "MAX_VISITS", 50_000)
    nested: Any = 1
    for _ in range(60):
        nested = {"a": nested, "b": [nested, 1, 2] if not isinstance(nested, dict) else 3}
    for text in ("$" + "..*" * 8, "$" + "..a" * 12, "$..[?(@..[?(@..a)])]"):
        with pytest.raises(StateError, match="looks at more than 50000 values"):
            compile_path(text).find(Scope([nested] * 20))
    rows = [{"x": list(range(300))}] * 300
    with pytest.raises(StateError, match="looks at more than"):
        compile_path("$[?(@ in $)]").find(Scope(rows))


def test_a_regular_expression_takes_bounded_time() -> None:
    path = compile_path("$[?(@ =~ /(a+)+b/)]")
    assert path.find(Scope(["a" * 5000, "aab"])) == ["aab"]


def test_the_largest_payload_is_within_the_budget() -> None:
    assert len(compile_path("$..*").find(Scope([1] * 131_000))) == 131_000
    document = {"items": [{"n": number} for number in range(20_000)]}
    assert len(compile_path("$.items[?(@.n >= 10000)].n").find(Scope(document))) == 10_000
    assert len(compile_path("$..n").find(Scope(document))) == 20_000


def test_paths_of_one_kind_are_one_class() -> None:
    assert isinstance(compile_reference_path("$.a"), Path)
