"""Definitions of state machines: checked, and ValidateStateMachineDefinition (step functions spec 6)."""

from __future__ import annotations

from typing import Any

from batchyard.api import integrations
from batchyard.api.context import Call, Context
from batchyard.core.model.executions import STANDARD
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.json_text import parse_json
from batchyard.evaluators.states.definitions import Options, check_definition
from batchyard.evaluators.states.diagnostics import ERROR, Diagnostic, refusal_text
from batchyard.evaluators.states.task_checks import check_objects, refuse_objects
from batchyard.evaluators.states.variable_scopes import variable_references
from batchyard.wire.messages import Document

NOT_READ = {"PARQUET": "Batchyard does not read PARQUET files: convert them to JSONL or CSV."}  # types of items
MAX_DIAGNOSTICS = 100  # API: maxResults


async def validate_state_machine_definition(context: Context, call: Call, request: Document) -> Document:
    """definition, type, severity -> result, diagnostics, truncated. A faulty definition is no error."""
    severity = request.get("severity", ERROR)
    found = await context.read(diagnose, context, request["definition"], request.get("type", STANDARD))
    shown = [one for one in found if severity != ERROR or one.severity == ERROR]
    limit = request.get("maxResults") or MAX_DIAGNOSTICS
    return {
        "result": "FAIL" if any(one.severity == ERROR for one in found) else "OK",
        "diagnostics": [_document(one) for one in shown[:limit]],
        "truncated": len(shown) > limit,
    }


def diagnose(context: Context, definition: str, kind: str) -> list[Diagnostic]:
    """Returns everything that is wrong with a definition, or doubtful."""
    accepts_unknown = context.settings.accepts_unknown_integrations
    check_task = integrations.check_known_task if accepts_unknown else integrations.check_task
    check_items = check_objects if context.settings.has_s3 or accepts_unknown else refuse_objects
    refused = {} if accepts_unknown else NOT_READ
    return check_definition(definition, kind, Options(check_task, check_items, refused))


async def checked(context: Context, definition: str, kind: str) -> dict[str, list[str]]:
    """Refuses a definition that has errors; returns the variables that its states use."""

    def check() -> dict[str, list[str]]:
        found = diagnose(context, definition, kind)
        if any(one.severity == ERROR for one in found):
            raise Refused(refusal_text(found), "InvalidDefinition")
        decoded: dict[str, Any] = parse_json(definition)
        return variable_references(decoded)

    return await context.read(check)


def _document(diagnostic: Diagnostic) -> Document:
    document: Document = {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
    }
    return document | ({} if diagnostic.location is None else {"location": diagnostic.location})
