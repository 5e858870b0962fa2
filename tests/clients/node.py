"""Node.js and the AWS SDKs for JavaScript, where this machine has the one and can get the others."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.programs import output_of

PROGRAMS = Path(__file__).parent / "javascript"
INSTALL_SECONDS = 300.0
RUN_SECONDS = 120.0
OLDEST_NODE = 20  # what the SDK in the lock file asks for
# What npm says when it reaches no registry, or one that has not got the packages.
OUT_OF_REACH = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "E403", "E404")


class Node:
    """`directory` holds the programs and `node_modules`."""

    def __init__(self, program: str, directory: Path) -> None:
        self.program = program
        self.directory = directory

    def run(self, address: str, *arguments: str) -> list[str]:
        """The lines that a program of `directory` printed, with the environment that the how-to page names."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "AWS_ENDPOINT_URL_BATCH": address,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": address,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1",
        }
        return output_of([self.program, *arguments], self.directory, variables, RUN_SECONDS).splitlines()


def node_with_sdks(cache: Path) -> Node:
    """Installs what the lock file names into `cache`, once for each state of that file. Skips the test where there is
    no Node.js, or no registry that has the packages."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        pytest.skip("there is no Node.js with npm on this machine")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"the SDKs need Node.js {OLDEST_NODE} or newer, and this machine has {version}")
    digest = hashlib.sha256((PROGRAMS / "package-lock.json").read_bytes()).hexdigest()[:16]
    directory = cache / digest
    if not directory.exists():
        _install(npm, cache, directory)
    for path in PROGRAMS.iterdir():
        shutil.copy(path, directory)
    return Node(program, directory)


def _install(npm: str, cache: Path, directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as name:
        made = Path(name) / "made"
        shutil.copytree(PROGRAMS, made)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(Path(name) / "cache")],
            cwd=made,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            reason = next((code for code in OUT_OF_REACH if code in done.stderr), "")
            assert reason, done.stderr
            pytest.skip(f"npm gets no SDK here ({reason})")
        try:
            made.rename(directory)
        except OSError:  # another run was first
            assert (directory / "node_modules").is_dir(), f"{directory} is not what npm left"
