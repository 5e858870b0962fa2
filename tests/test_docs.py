"""The documentation says what is there: generated pages are current; names, links and commands exist."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from batchyard.api.services import SERVICES
from batchyard.core.model import lifecycle
from batchyard.docsgen import drawings, reference
from batchyard.server.settings.table import TABLE
from batchyard.wire.model import load_service_model

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GENERATED = reference.documents()

LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
DOTTED = re.compile(r"[a-z_]+(\.[A-Za-z_]+)+")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Programs that shell examples may use besides ours.
OTHER_PROGRAMS = {"python3", "pip", "aws", "systemctl", "loginctl", "export", "."}


def text_of(page: Path | str) -> str:
    return (ROOT / page).read_text()


# -- the reference --


@pytest.mark.parametrize("name", GENERATED)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    assert text_of(f"docs/{name}") == GENERATED[name], "out of date: run `make docs` and commit the result"


@pytest.mark.parametrize("page", reference.sections())
def test_the_generated_section_of_a_page_is_current(page: str) -> None:
    name, section = reference.sections()[page]
    current = reference.with_section(text_of(page), name, section)
    assert text_of(page) == current, "out of date: run `make docs` and commit the result"


def test_the_pipeline_passes_through_modules_that_exist() -> None:
    named = {name for one, other, _ in drawings.PIPELINE for name in (one, other)} - {drawings.CLIENT}
    assert [name for name in named if not exists(name)] == []


def test_arrows_that_others_imply_are_not_drawn() -> None:
    arrows = {"top": {"middle", "low"}, "middle": {"low"}, "low": set[str]()}
    assert drawings.reduced(arrows) == {"top": ["middle"], "middle": ["low"], "low": []}


def test_the_states_are_drawn_from_the_table() -> None:
    text = GENERATED["reference/job-states.md"]
    for (status, cause), target in lifecycle.TABLE.items():
        assert f"    {status} --> {target}: {cause.name}\n" in text


def test_every_operation_is_documented() -> None:
    text = GENERATED["reference/operations.md"]
    built = reference.built_operations()
    for service in SERVICES:
        for name in load_service_model(service).operations:
            assert f"### {name}\n" in text if (service, name) in built else f"`{name}`" in text, name
    assert ("batch", "SubmitJob") in built
    assert ("ecs", "RunTask") not in built


def test_every_setting_is_documented() -> None:
    for setting in TABLE:
        assert f"## {setting.flag}\n" in GENERATED["reference/settings.md"]
        assert f"`{setting.variable}`" in GENERATED["reference/settings.md"]


def test_every_command_and_flag_is_documented() -> None:
    text = GENERATED["reference/commands.md"]
    commands = reference.all_commands()
    assert {"up", "down", "run", "jobs", "keys add"} <= commands.keys()
    for name, function in commands.items():
        assert f"## batchyard {name}\n" in text
        for parameter in reference.parameters_of(function):
            assert parameter.declared.help, f"batchyard {name}: {parameter.name} has no help"
            assert name == "up" or any(flag in text for flag in parameter.flags) or parameter.is_argument


def test_the_readme_counts_the_operations_right() -> None:
    built = [name for service, name in reference.built_operations() if service == "batch"]
    total = len(load_service_model("batch").operations)
    assert f"[{len(built)} of AWS Batch's {total}]" in text_of("README.md")


# -- names and links --


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for target in LINK.findall(text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        there = (ROOT / page.parent / path) if path else ROOT / page
        if not there.exists() or (anchor and f"#{anchor}" not in anchors_of(there)):
            found.append(f"{page}: {target}")
    return found


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def missing_paths(text: str) -> list[str]:
    """Names of files of the repository, in code marks, that are not there."""
    named = [word for word in CODE.findall(text) if re.match(r"(src|tests|bench|demo|scripts|docs)/[\w./-]*$", word)]
    made = ("bench/build", "docs/decisions/NNN-")  # when the bench runs, and by whoever decides next
    return [word for word in named if not (ROOT / word).exists() and not word.startswith(made)]


def missing_names(text: str) -> list[str]:
    """Dotted names of modules, classes and functions, in code marks, that are not in the package."""
    return [word for word in CODE.findall(text) if DOTTED.fullmatch(word) and not exists(word)]


def exists(dotted: str) -> bool:
    parts = dotted.split(".")
    for size in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(["batchyard", *parts[:size]]))
        except ModuleNotFoundError:
            continue
        for part in parts[size:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, text_of(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_are_named_exist(page: Path) -> None:
    assert missing_paths(text_of(page)) == []


def test_the_architecture_names_what_exists() -> None:
    text = text_of("docs/architecture.md")
    assert sum(DOTTED.fullmatch(word) is not None for word in CODE.findall(text)) > 30
    assert missing_names(text) == []


# -- the glossary --


def glossary() -> list[list[tuple[str, str, str]]]:
    """The tables of the glossary: (term, meaning, in code) of each row."""
    sections = text_of("docs/glossary.md").split("\n## ")[1:]
    rows = [re.findall(r"^\| ([^|]+) \| ([^|]+) \| `([^`|]+)` \|$", section, re.MULTILINE) for section in sections]
    for section, found in zip(sections, rows, strict=True):
        lines = [line for line in section.splitlines() if line.startswith("|")]
        assert len(lines) == len(found) + 2, f"a row that is none: {lines}"  # the head and the line below it
    return rows


def test_each_term_of_the_glossary_stands_there_once_and_in_its_place() -> None:
    terms = [[term for term, _, _ in table] for table in glossary()]
    assert sum(map(len, terms)) > 60
    assert all(table == sorted(table) for table in terms)
    assert len({term for table in terms for term in table}) == sum(map(len, terms))


def test_each_term_of_the_glossary_is_in_the_code() -> None:
    named = [name for table in glossary() for _, _, name in table]
    assert [name for name in named if not exists(name)] == []
    assert len(set(named)) == len(named), "one name in code for two terms"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [Path("README.md")]
    while todo:
        page = todo.pop()
        if page in reached or not (ROOT / page).is_file():
            continue
        reached.add(page)
        for target in LINK.findall(text_of(page)):
            if "://" not in target:
                todo.append((ROOT / page.parent / target.partition("#")[0]).resolve().relative_to(ROOT))
    decisions = {page for page in PAGES if page.parent.name == "decisions"}  # their folder is linked
    assert set(PAGES) - reached - decisions == set()
    assert decisions, "there are decisions on record"


def test_each_decision_has_a_number_of_its_own() -> None:
    names = [page.name for page in PAGES if page.parent.name == "decisions"]
    numbers = [name[:4] for name in names if re.match(r"\d{3}-", name)]
    assert len(set(numbers)) == len(names)


# -- commands in examples --


def wrong_commands(text: str) -> list[str]:
    """Lines of shell examples that name a program, command or flag that does not exist."""
    blocks = [body for kind, body in FENCE.findall(text) if kind == "sh"]
    blocks += re.findall(r"(?:^    \S.*\n)+", FENCE.sub("", text), re.MULTILINE)
    found = []
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        program = line.split()[0] if line.split() else ""
        if program == "make":
            target = line.split()[1]
            found += [line] * (re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE) is None)
        elif program == "batchyard":
            found += [line] * (not is_command(shlex.split(line, comments=True)[1:]))
        elif re.fullmatch(r"[a-z][\w-]*", program) and line == line.lstrip() and program not in OTHER_PROGRAMS:
            found.append(line)
    return found


def is_command(words: list[str]) -> bool:
    commands = reference.all_commands()
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in commands), None)
    if name is None:
        return False
    ours = words[: words.index("--")] if "--" in words else words
    known = {flag for parameter in reference.parameters_of(commands[name]) for flag in parameter.flags}
    return all(word.partition("=")[0] in known for word in ours if word.startswith("-"))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_examples_name_commands_that_exist(page: Path) -> None:
    assert wrong_commands(text_of(page)) == []


def test_commands_named_in_sentences_exist() -> None:
    for page in PAGES:
        for word in CODE.findall(text_of(page)):
            if word.startswith("batchyard ") and word != "batchyard --version":
                assert is_command(shlex.split(word)[1:]), f"{page}: {word}"
            if word.startswith("make "):
                assert wrong_commands(f"```sh\n{word}\n```") == [], f"{page}: {word}"


# -- the checks bite --


def test_a_stale_section_is_replaced() -> None:
    page = "a\n<!-- x: generated by `make docs` -->\nold\n<!-- end of x -->\nb\n"
    assert "old" not in reference.with_section(page, "x", "new")
    assert reference.with_section(page, "x", "new").endswith("\nnew\n\n<!-- end of x -->\nb\n")
    with pytest.raises(AssertionError, match="lost the marks"):
        reference.with_section("a\n", "x", "new")


def test_a_breach_is_found() -> None:
    assert broken_links(Path("README.md"), "[a](docs/none.md)") == ["README.md: docs/none.md"]
    assert broken_links(Path("docs/quickstart.md"), "[a](behaviour.md#no-such-heading)") != []
    assert broken_links(Path("docs/quickstart.md"), "[a](behaviour.md#states) [b](https://example.com/x)") == []
    assert missing_paths("`src/batchyard/core/none.py`") == ["src/batchyard/core/none.py"]
    assert missing_names("`core.tasks.retry.none`") == ["core.tasks.retry.none"]
    assert missing_names("`core.tasks.retry.should_retry` `store.writer.Writer.commit`") == []
    assert wrong_commands("```sh\nbatchyard fly\n```") == ["batchyard fly"]
    assert wrong_commands("```sh\nbatchyard up --none 1\n```") == ["batchyard up --none 1"]
    assert wrong_commands("```sh\nbatchyard run --vcpus 2 -- echo --none\n```") == []
    assert wrong_commands("a\n\n    make nothing\n") == ["    make nothing"]
