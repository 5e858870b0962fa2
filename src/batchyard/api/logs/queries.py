"""Logs Insights: queries over log groups, their results, and saved queries (observability spec 18)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.api.context import Call, Context
from batchyard.api.logs.requests import (
    MAX_TIME_MS,
    bad_token,
    change,
    group_name,
    invalid,
    limit_of,
    name_of,
    page,
    require_group,
)
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.insights.plan import DEFAULT_LIMIT, Plan, plan_query
from batchyard.evaluators.insights.values import LogRecord, record_fields
from batchyard.observe.log_catalogue import JobStream
from batchyard.observe.log_queries import FAILED, LogQuery, QueryScope, find_record, read_pointer
from batchyard.observe.log_scan import Span, scan_in_order
from batchyard.store.logs import log_tables
from batchyard.wire.messages import Document

MAX_GROUPS = 50  # of one query (API: StartQuery)
MIN_MILLISECONDS = 10**11  # a time from here on is in milliseconds: in seconds it would be the year 5138
MAX_RESULTS = 10_000  # of one page (API: GetQueryResults)
MAX_LISTED = 1000  # API: DescribeQueries, DescribeQueryDefinitions
QUERY_DEFINITION = "query-definition"  # kind of documents
MAX_DEFINITIONS = 1000  # CloudWatch Logs quotas
MALFORMED = "MalformedQueryException"
SAMPLED_LINES = 1000  # whose fields GetLogGroupFields looks at
SAMPLED_STREAMS = 50
SAMPLE_MS = 15 * 60 * 1000  # API: GetLogGroupFields: the last 15 minutes, or 8 before and after a time
SAMPLE_AROUND_MS = 8 * 60 * 1000


class QueryDefinition(Struct, frozen=True):
    """A saved query."""

    id: str
    name: str
    text: str
    groups: tuple[str, ...]
    modified_ms: int


# -- queries --


async def start_query(context: Context, call: Call, request: Document) -> Document:
    """logGroupName(s), logGroupIdentifiers or SOURCE in the text; startTime, endTime, queryString, limit -> queryId."""
    _require_language(request)
    text, limit = request["queryString"], request.get("limit", DEFAULT_LIMIT)
    plan = _plan(context, text, limit)
    scope = QueryScope(
        await context.read(_groups, context, request, plan),
        _start_ms(request["startTime"]),
        _end_ms(request["endTime"]),
        text,
        limit,
    )
    if scope.start_ms > scope.end_ms:
        raise invalid(f"startTime must not be after endTime, got {request['startTime']} and {request['endTime']}.")
    query = LogQuery(context.new_uuid(), scope, plan, context.log_writer.now_ms())
    context.log_queries.start(query, context.log_catalogue, context.account.account_id)
    return {"queryId": query.id}


async def get_query_results(context: Context, call: Call, request: Document) -> Document:
    """queryId, maxItems, nextToken -> status, results, statistics. A query that runs has no results yet."""
    query = _find(context, request["queryId"])
    status, rows = query.status, query.rows
    first = _offset(request.get("nextToken"))
    most = request.get("maxItems") or MAX_RESULTS
    shown = rows[first : first + most]
    if status == FAILED:
        raise Refused(f"The query failed: {query.failure}.", MALFORMED)
    matched, scanned, size = query.statistics
    answer: Document = {
        "queryLanguage": "CWLI",
        "results": [[{"field": name, "value": value} for name, value in row.items()] for row in shown],
        "statistics": {
            "recordsMatched": float(matched),
            "recordsScanned": float(scanned),
            "bytesScanned": float(size),
            "estimatedRecordsSkipped": 0.0,
            "estimatedBytesSkipped": 0.0,
            "logGroupsScanned": float(len(query.scope.groups)),
        },
        "status": status,
    }
    return page(answer, str(first + most) if first + most < len(rows) else None)


async def stop_query(context: Context, call: Call, request: Document) -> Document:
    """queryId -> success."""
    query = _find(context, request["queryId"])
    if not query.is_active:
        raise invalid(f"The query {query.id} has ended: its status is {query.status}.")
    query.stop()
    return {"success": True}


async def describe_queries(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, status, maxResults, nextToken -> queries, newest first."""
    _require_language(request)
    group, status = request.get("logGroupName"), request.get("status")
    found = [
        _description(query)
        for query in context.log_queries.newest_first()
        if (group is None or group in query.scope.groups) and (status is None or status == query.status)
    ]
    first, most = _offset(request.get("nextToken")), limit_of(request, MAX_LISTED, "maxResults")
    return page({"queries": found[first : first + most]}, str(first + most) if first + most < len(found) else None)


def _description(query: LogQuery) -> Document:
    scope = query.scope
    source = " ".join(f'"{group}"' for group in scope.groups)
    return {
        "queryLanguage": "CWLI",
        "queryId": query.id,
        "queryString": f"SOURCE {source} START={scope.start_ms} END={scope.end_ms} | {scope.text}",
        "status": query.status,
        "createTime": query.created_ms,
        "logGroupName": scope.groups[0],
        "queryDuration": int(query.seconds * 1000),
    }


def _require_language(request: Document) -> None:
    language = request.get("queryLanguage", "CWLI")
    if language != "CWLI":
        raise invalid(f"queryLanguage {language} is not built here: use CWLI, the language of Logs Insights.")


def _plan(context: Context, text: str, limit: int) -> Plan:
    """Raises InvalidQuery (MalformedQueryException), which says where the fault is."""
    return plan_query(text, now_ms=context.log_writer.now_ms(), limit=limit)


def _groups(context: Context, request: Document, plan: Plan) -> tuple[str, ...]:
    """Returns the groups of a query, which must be there."""
    given: list[list[str]] = []
    if request.get("logGroupName"):
        given.append([request["logGroupName"]])
    if request.get("logGroupNames"):
        given.append(request["logGroupNames"])
    if request.get("logGroupIdentifiers"):
        given.append([name_of(text, "logGroupIdentifiers") for text in request["logGroupIdentifiers"]])
    if plan.groups:
        given.append(list(plan.groups))
    if len(given) != 1:
        raise invalid(
            "Give the log groups once: as logGroupName, logGroupNames, logGroupIdentifiers, or SOURCE in the query."
        )
    names = tuple(dict.fromkeys(given[0]))
    if len(names) > MAX_GROUPS:
        raise invalid(f"A query goes over at most {MAX_GROUPS} log groups, got {len(names)}.")
    for name in names:
        if context.log_catalogue.group(name) is None:
            raise Refused(
                f"Log group '{name}' does not exist for account ID '{context.account.account_id}' (Service: AWSLogs; "
                f"Status Code: 400; Error Code: ResourceNotFoundException; Request ID: {context.new_uuid()})",
                "ResourceNotFoundException",
            )
    return names


def _start_ms(at: int) -> int:
    return min(at, MAX_TIME_MS) if at >= MIN_MILLISECONDS else at * 1000


def _end_ms(at: int) -> int:
    """Returns the last millisecond of the end, which belongs to the query."""
    return min(at, MAX_TIME_MS) if at >= MIN_MILLISECONDS else at * 1000 + 999


def _find(context: Context, query_id: str) -> LogQuery:
    query = context.log_queries.find(query_id)
    if query is None:
        raise Refused(f"Query with id {query_id} is not found.", "ResourceNotFoundException")
    return query


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isascii() or not token.isdigit():
        raise bad_token()
    return int(token)


# -- records and fields --


async def get_log_record(context: Context, call: Call, request: Document) -> Document:
    """logRecordPointer (@ptr of a row) -> logRecord, the event's fields."""
    if request.get("unmask"):
        raise invalid("unmask is not built here: nothing is masked; leave it out.")
    return {"logRecord": await context.read(_record, context, request["logRecordPointer"])}


def _record(context: Context, pointer: str) -> dict[str, str]:
    try:
        group, name, place = read_pointer(pointer)
    except ValueError:
        raise invalid("logRecordPointer is not the @ptr of a row of a query.") from None
    stream = context.log_catalogue.stream(group, name)
    streams = [stream] if stream is not None else []
    record = find_record(context.log_catalogue, context.account.account_id, group, streams, place)
    if record is None:
        raise Refused("The log event is not there any more.", "ResourceNotFoundException")
    return record_fields(record._replace(ptr=pointer))


async def get_log_group_fields(context: Context, call: Call, request: Document) -> Document:
    """logGroupName or logGroupIdentifier, time -> logGroupFields: in how many of the latest events each one is."""
    return await context.read(_fields, context, group_name(request), request.get("time"))


def _fields(context: Context, group: str, at: int | None) -> Document:
    require_group(context, group)
    now_ms = context.log_writer.now_ms()
    middle = None if at is None else _start_ms(at)
    start, end = (
        (now_ms - SAMPLE_MS, now_ms + 1) if middle is None else (middle - SAMPLE_AROUND_MS, middle + SAMPLE_AROUND_MS)
    )
    streams = context.log_catalogue.streams(group, "", SAMPLED_STREAMS, descending=True, by_time=True).streams
    counts: dict[str, int] = {}
    sampled = 0
    for stream, (at_ms, place, ingested_ms, text) in scan_in_order(streams, Span(max(0, start), end)):
        log = f"{context.account.account_id}:{group}"
        record = LogRecord(at_ms, text, stream.name, log, ingested_ms, str(place), _names(stream))
        for name in record_fields(record):
            counts[name] = counts.get(name, 0) + 1
        sampled += 1
        if sampled >= SAMPLED_LINES:
            break
    found = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return {"logGroupFields": [{"name": name, "percent": count * 100 // sampled} for name, count in found]}


def _names(stream: Any) -> dict[str, str]:
    return {"@jobId": stream.job_id} if isinstance(stream, JobStream) else {}


# -- saved queries --


async def put_query_definition(context: Context, call: Call, request: Document) -> Document:
    """name, queryString, logGroupNames, queryDefinitionId (of one to replace) -> queryDefinitionId."""
    _require_language(request)
    if request.get("parameters"):
        raise invalid("parameters of saved queries are not built here: leave them out.")
    _plan(context, request["queryString"], DEFAULT_LIMIT)
    given = request.get("queryDefinitionId")
    if given and await context.read(_definition, context, given) is None:
        raise _no_definition(given)
    if not given and len(await context.read(_definitions, context)) >= MAX_DEFINITIONS:
        raise Refused(f"There are {MAX_DEFINITIONS} saved queries already: delete one.", "LimitExceededException")
    definition = QueryDefinition(
        given or context.new_uuid(),
        request["name"],
        request["queryString"],
        tuple(request.get("logGroupNames", ())),
        context.log_writer.now_ms(),
    )
    await change(
        context,
        lambda connection, _: log_tables.put_document(connection, QUERY_DEFINITION, "", definition.id, definition),
    )
    return {"queryDefinitionId": definition.id}


async def describe_query_definitions(context: Context, call: Call, request: Document) -> Document:
    """queryDefinitionNamePrefix, maxResults, nextToken -> queryDefinitions, by name."""
    _require_language(request)
    prefix = request.get("queryDefinitionNamePrefix", "")
    found = [
        {
            "queryLanguage": "CWLI",
            "queryDefinitionId": definition.id,
            "name": definition.name,
            "queryString": definition.text,
            "lastModified": definition.modified_ms,
            "logGroupNames": list(definition.groups),
        }
        for definition in sorted(await context.read(_definitions, context), key=lambda one: (one.name, one.id))
        if definition.name.startswith(prefix)
    ]
    first, most = _offset(request.get("nextToken")), limit_of(request, MAX_LISTED, "maxResults")
    following = str(first + most) if first + most < len(found) else None
    return page({"queryDefinitions": found[first : first + most]}, following)


async def delete_query_definition(context: Context, call: Call, request: Document) -> Document:
    """queryDefinitionId -> success."""
    name = request["queryDefinitionId"]
    deleted = await change(
        context, lambda connection, _: log_tables.delete_document(connection, QUERY_DEFINITION, "", name)
    )
    if not deleted:
        raise _no_definition(name)
    return {"success": True}


def _definition(context: Context, definition_id: str) -> QueryDefinition | None:
    return context.log_reader.document(QUERY_DEFINITION, "", definition_id, QueryDefinition)


def _definitions(context: Context) -> list[QueryDefinition]:
    return context.log_reader.documents(QUERY_DEFINITION, QueryDefinition)


def _no_definition(definition_id: str) -> Refused:
    return Refused(f"The specified query definition {definition_id} does not exist.", "ResourceNotFoundException")
