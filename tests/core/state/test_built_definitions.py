"""What is built of a definition is kept for the jobs that use the same version of it."""

from msgspec.structs import replace

from batchyard.core.model.records import Definition
from batchyard.core.state.built_definitions import MAX_KEPT, BuiltDefinition, BuiltDefinitions

DEFINITION = Definition("work", 1, "ACTIVE", {}, {}, 0)


def test_another_version_revision_or_directory_is_built_anew() -> None:
    known, built = BuiltDefinitions(), BuiltDefinition(DEFINITION, {}, [])
    assert known.get(DEFINITION, "") is None
    known.keep("", built)
    assert known.get(DEFINITION, "") is built
    assert known.get(DEFINITION, "/elsewhere") is None
    assert known.get(replace(DEFINITION, tags={"a": "b"}), "") is None
    assert known.get(replace(DEFINITION, revision=2), "") is None


def test_the_oldest_is_dropped() -> None:
    known = BuiltDefinitions()
    all_of_them = [replace(DEFINITION, revision=number) for number in range(1, MAX_KEPT + 3)]
    for one in all_of_them:
        known.keep("", BuiltDefinition(one, {}, []))
    assert len(known) == MAX_KEPT
    assert [known.get(one, "") is None for one in all_of_them[:3]] == [True, True, False]
