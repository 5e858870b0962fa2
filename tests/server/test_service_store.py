"""Every command of the service knows every kind of document that any room keeps."""

from __future__ import annotations

import ast
import subprocess
import sys

from batchyard.docsgen.imports import modules


def keepers() -> set[str]:
    """The modules that register kinds of documents."""
    found = set()
    for path, module, _ in modules():
        tree = ast.parse(path.read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        takes_registry = any(
            node.module == "batchyard.core.model.documents"
            or (node.module == "batchyard.core.model" and any(name.name == "documents" for name in node.names))
            for node in imports
        )
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        if takes_registry and calls & {"register", "documents.register"}:
            found.add(module)
    return found


def test_a_store_that_a_command_opens_knows_the_documents_of_every_room() -> None:
    expected = keepers()
    assert {"batchyard.core.secrets.document_kinds", "batchyard.timers.machine"} <= expected
    program = f"import sys, batchyard.server.service_store\nprint(*(set({sorted(expected)}) - sys.modules.keys()))"
    missing = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert missing.split() == [], "server/service_store.py has to import these rooms"
