"""Instance types: what a list means, what a job can use of one. The data is the vendored file."""

import json
from pathlib import Path

import pytest

import batchyard
from batchyard.core.capacity.catalogue import BUNDLES, Catalogue, InstanceType, catalogue_of, registered
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources

DATA = Path(batchyard.__file__).parent / "vendor" / "instance_types" / "instance_types.json"
CATALOGUE = catalogue_of(json.loads(DATA.read_bytes()))


def names(listed: list[str]) -> list[str]:
    return [kind.name for kind in CATALOGUE.expand(listed)]


def test_exact_names_keep_the_order_of_the_list() -> None:
    assert names(["r5.large", "c5.large", "m5.large", "c5.large"]) == ["r5.large", "c5.large", "m5.large"]


def test_a_family_has_all_its_sizes_but_metal_from_the_smallest_on() -> None:
    found = names(["c5"])
    assert found[:3] == ["c5.large", "c5.xlarge", "c5.2xlarge"]
    assert "c5.metal" in CATALOGUE.types
    assert "c5.metal" not in found
    assert not any("metal" in name for name in names(["c7i", "m7i", "r8g"]))
    assert names(["c5.metal"]) == ["c5.metal"]


@pytest.mark.parametrize(("bundle", "families"), BUNDLES.items())
def test_a_bundle_is_its_families_in_order(bundle: str, families: tuple[str, ...]) -> None:
    assert names([bundle]) == names(list(families))
    assert [entry[0].family for entry in CATALOGUE.entries([bundle])] == list(families)
    assert all(kind.schedulable_gpus == 0 for kind in CATALOGUE.expand([bundle]))


def test_a_size_named_elsewhere_leaves_its_family() -> None:
    first, second = CATALOGUE.entries(["c5", "c5.xlarge"])
    assert [kind.name for kind in second] == ["c5.xlarge"]
    assert "c5.xlarge" not in [kind.name for kind in first]
    assert names(["optimal", "c6i"]) == names(["optimal"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("c5.huge", "The family c5 has c5.large, c5.xlarge, c5.2xlarge, c5.4xlarge, c5.9xlarge and more."),
        ("q9", "Name types (c5.large), families (c5) or one of optimal, default_x86_64, default_arm64."),
        ("", "Name types (c5.large), families (c5) or one of optimal, default_x86_64, default_arm64."),
        ("Optimal", "Name types (c5.large), families (c5) or one of optimal, default_x86_64, default_arm64."),
    ],
)
def test_an_unknown_name_is_refused_with_what_would_be_right(name: str, hint: str) -> None:
    with pytest.raises(Refused) as refusal:
        CATALOGUE.expand(["c5.large", name])
    assert refusal.value.message == f"The instance type [{name}] does not exist. {hint}"


def test_a_family_of_metal_alone_says_so() -> None:
    catalogue = Catalogue({"z9.metal": InstanceType("z9.metal", 1000, 1024)})
    assert catalogue.expand(["z9.metal"])[0].is_metal
    with pytest.raises(Refused, match=r"has only metal sizes, which have to be named: z9\.metal\."):
        catalogue.expand(["z9"])


def test_the_memory_that_jobs_can_use_is_less_than_the_nominal() -> None:
    assert registered(CATALOGUE.types["m4.large"]) == Resources(2000, 7985, 0)
    for kind in CATALOGUE.types.values():
        room = registered(kind)
        assert 0 < room.memory_mib < kind.memory_mib, kind
        assert room.milli_vcpus == kind.milli_vcpus


def test_only_gpus_of_nvidia_are_for_jobs() -> None:
    assert registered(CATALOGUE.types["g4dn.12xlarge"]).gpus == 4
    radeon = CATALOGUE.types["g4ad.xlarge"]
    assert (radeon.gpus, radeon.gpu_manufacturer, registered(radeon).gpus) == (1, "AMD", 0)
    assert registered(CATALOGUE.types["g6f.large"]).gpus == 0  # an eighth of one


def test_the_data_is_whole() -> None:
    assert len(CATALOGUE.types) > 1000
    facts = CATALOGUE.types["p3.8xlarge"]
    assert (facts.milli_vcpus, facts.memory_mib, facts.gpus, facts.gpu_name) == (32_000, 249_856, 4, "V100")
    assert {kind.architecture for kind in CATALOGUE.types.values()} == {"x86_64", "arm64"}
    assert {kind.architecture for kind in CATALOGUE.expand(["default_arm64"])} == {"arm64"}
    origin = json.loads(DATA.read_bytes())["origin"]
    for name in ("README.md", "NOTICE"):
        text = (DATA.parent / name).read_text()
        assert all(release in text for release in origin)
        assert "Apache License" in text
