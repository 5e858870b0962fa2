"""The vendored models are what the script makes of botocore, and say where they come from."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import botocore
import pytest

from batchyard.wire.model import MODEL_DIRECTORIES, load_service_model

VENDORED = MODEL_DIRECTORIES[0]
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "reduce_service_models.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reduce_service_models", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_writes_the_committed_files(script: ModuleType, tmp_path: Path) -> None:
    origin = json.loads((VENDORED / "batch.json").read_text())["origin"]
    if origin != f"botocore {botocore.__version__}":
        pytest.skip(f"the committed models are from {origin}, botocore {botocore.__version__} is installed")
    script.write_all(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in VENDORED.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (VENDORED / name).read_bytes(), name


def test_no_documentation_is_left_and_members_of_that_name_would_be(script: ModuleType) -> None:
    for model in VENDORED.glob("*.json"):
        assert '"documentation"' not in model.read_text()
    shape = {"documentation": "<p/>", "members": {"documentation": {"shape": "S", "documentation": "<p/>"}}}
    assert script.strip(shape) == {"members": {"documentation": {"shape": "S"}}}


def test_licence_and_origin_lie_beside_the_models() -> None:
    origin = json.loads((VENDORED / "logs.json").read_text())["origin"]
    for name in ("README.md", "NOTICE"):
        text = (VENDORED / name).read_text()
        assert origin in text
        assert "Apache License" in text


def test_an_unknown_service_has_no_model() -> None:
    with pytest.raises(FileNotFoundError, match="no service model named 'sqs'"):
        load_service_model("sqs")
