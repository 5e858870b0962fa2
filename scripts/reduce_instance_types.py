"""Make the catalogue of EC2 instance types under src/batchyard/vendor/instance_types from data that moto ships.

    pip install --no-deps --target NEW moto==5.2.5
    pip install --no-deps --target OLD moto==4.2.14
    python scripts/reduce_instance_types.py NEW OLD [--out DIRECTORY]

Of each instance type it keeps vCPUs, memory, whole GPUs and architecture. Types that a newer release no longer has,
since AWS retired them, come from the older ones: environments still name them. The same releases write the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

Document = dict[str, Any]

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "src" / "batchyard" / "vendor" / "instance_types"
DATA = "moto/ec2/resources/instance_types.json"
ARCHITECTURES = ("x86_64", "arm64")  # macOS machines, which Batch cannot use, have others and are left out

README = """\
# EC2 instance types

`instance_types.json` has the public facts about EC2 instance types that a compute environment needs: by family its
architecture and GPU, by size the vCPUs, the memory in MiB and, where there are any, the whole GPUs. It is made by
`scripts/reduce_instance_types.py` from the data that moto ships (what EC2's DescribeInstanceTypes answers); do not edit
it by hand. macOS machines are left out. Types that AWS has retired come from the older release.

- Origin: {origin}, https://github.com/getmoto/moto (`moto/ec2/resources/instance_types.json`)
- Licence: Apache License 2.0 (the text is in the LICENSE file at the root of this repository); see `NOTICE`
"""
NOTICE = """\
The catalogue of instance types in this directory is derived from {origin}.

Moto
Copyright 2012 Steve Pulec

Licensed under the Apache License, Version 2.0. Modified: everything but names, vCPUs, memory, GPUs and architectures
has been removed.
"""


def read_release(folder: Path) -> tuple[str, dict[str, Document]]:
    """`moto <version>` and its instance types, from where pip installed it."""
    (info,) = folder.glob("moto-*.dist-info")
    version = info.name.removeprefix("moto-").removesuffix(".dist-info")
    plain, packed = folder / DATA, folder / f"{DATA}.gz"
    types = json.loads(plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes()))
    return f"moto {version}", types


def reduce_types(types: dict[str, Document]) -> dict[str, Document]:
    """By family: architecture, gpu (maker and name, where it has one), sizes (vCPUs, MiB, and GPUs unless none)."""
    families: dict[str, Document] = {}
    for name in sorted(types):
        entry = types[name]
        architecture = next((a for a in ARCHITECTURES if a in entry["ProcessorInfo"]["SupportedArchitectures"]), None)
        if architecture is None:
            continue
        family_name, _, size = name.partition(".")
        family = families.setdefault(family_name, {"architecture": architecture, "sizes": {}})
        assert family["architecture"] == architecture, f"{name}: its family has two architectures"
        amounts = [entry["VCpuInfo"]["DefaultVCpus"], entry["MemoryInfo"]["SizeInMiB"]]
        gpus = entry.get("GpuInfo", {}).get("Gpus", [])
        count = sum(gpu["Count"] for gpu in gpus)  # 0 where a type has a fraction of one
        if count:
            assert len(gpus) == 1, f"{name} has several kinds of GPUs"
            kind = [gpus[0]["Manufacturer"], gpus[0]["Name"]]
            assert family.setdefault("gpu", kind) == kind, f"{name}: its family has several kinds of GPUs"
            amounts.append(count)
        family["sizes"][size] = amounts
    for family in families.values():
        family["sizes"] = dict(sorted(family["sizes"].items(), key=lambda item: (item[1][0], item[1][1], item[0])))
    return families


def render(origins: list[str], families: dict[str, Document]) -> str:
    """JSON with one family a line: compact, and a new release shows as a readable diff."""
    lines = ",\n".join(f"{json.dumps(name)}:{compact(family)}" for name, family in families.items())
    return f'{{"origin":{json.dumps(origins)},\n"families":{{\n{lines}\n}}}}\n'


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def write_all(releases: list[Path], out: Path) -> None:
    """Write the catalogue, README.md and NOTICE into `out`. `releases`: the newest first."""
    origins: list[str] = []
    types: dict[str, Document] = {}
    for folder in releases:
        origin, found = read_release(folder)
        origins.append(origin)
        types = found | types
    out.mkdir(parents=True, exist_ok=True)
    (out / "instance_types.json").write_text(render(origins, reduce_types(types)), encoding="utf-8")
    words = " and ".join(origins)
    (out / "README.md").write_text(README.format(origin=words), encoding="utf-8")
    (out / "NOTICE").write_text(NOTICE.format(origin=words), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("releases", type=Path, nargs="+", help="where pip installed moto, the newest release first")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the directory to write to")
    arguments = parser.parse_args()
    write_all(arguments.releases, arguments.out)
