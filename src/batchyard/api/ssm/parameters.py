"""SSM's Parameter Store (Systems Manager API reference). Values of every type are kept encrypted; labels, policies and
patterns are not here."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.secret_values import every, seal, seconds, tag_keys_of, tag_list, tags_of, unseal
from batchyard.core.model import commands
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Parameter, ParameterVersion
from batchyard.core.secrets.document_kinds import PARAMETER
from batchyard.core.secrets.references import find_parameter, parameter_binding, parameter_names, parse_parameter
from batchyard.wire.messages import Document

NAME = re.compile(r"[A-Za-z0-9_./-]+")
MAX_NAME_LENGTH = 1011  # API: PutParameterRequest.Name
MAX_LEVELS = 15  # likewise
RESERVED_NAME = re.compile(r"/?(aws|ssm)", re.IGNORECASE)  # likewise
TYPES = ("String", "StringList", "SecureString")
SECURE = "SecureString"
DEFAULT_KEY = "alias/aws/ssm"
TIERS = ("Standard", "Advanced", "Intelligent-Tiering")
MAX_CHARACTERS = {"Standard": 4096, "Advanced": 8192, "Intelligent-Tiering": 8192}  # API: PutParameterRequest.Value
DATA_TYPE = "text"
MAX_NAMES = 10  # API: GetParametersRequest
MAX_PAGE = 50  # API: DescribeParametersRequest
MAX_FILTERS = 50  # AWS states no limit; each value is compared with each parameter
MAX_DESCRIPTION = 1024  # API: ParameterDescription
TAGGED = "Parameter"  # of the resource types that SSM knows
NOT_BUILT = ("AllowedPattern", "Policies")

OLD_OPTIONS = {"Name": "BeginsWith"}  # how Filters, the older of the two, compares; the others are equal
OPTIONS: dict[str, Callable[[str, str], bool]] = {
    "Equals": lambda text, value: text == value,
    "BeginsWith": lambda text, value: text.startswith(value),
    "Contains": lambda text, value: value in text,
}
MEMBERS: dict[str, Callable[[Parameter], str | None]] = {
    "Name": lambda parameter: parameter.name,
    "Type": lambda parameter: parameter.type,
    "KeyId": lambda parameter: parameter.key_id or None,
    "Tier": lambda parameter: parameter.tier,
    "DataType": lambda parameter: DATA_TYPE,
}

Matches = Callable[[Parameter], bool]


async def put_parameter(context: Context, call: Call, request: Document) -> Document:
    name, kind = request["Name"], request.get("Type", "")
    _check_name(name)
    if kind and kind not in TYPES:
        raise _invalid(f"Type must be one of {', '.join(TYPES)}, got {quoted(kind)!r}.")
    for member in NOT_BUILT:
        if request.get(member):
            raise _invalid(f"{member} is not built here: leave it out.")
    if request.get("DataType", DATA_TYPE) != DATA_TYPE:
        raise _invalid(f"DataType must be {DATA_TYPE} here, got {quoted(request['DataType'])!r}.")
    if len(request.get("Description", "")) > MAX_DESCRIPTION:
        raise _invalid(f"Description must have at most {MAX_DESCRIPTION} characters.")
    overwrite = request.get("Overwrite", False)
    tags = tags_of(request.get("Tags", []), _invalid)
    if overwrite and tags:
        raise _invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, "
            "please remove overwrite flag."
        )
    tier = _tier(request)
    value_id = context.new_uuid()
    binding = parameter_binding(name, value_id)
    value = await seal(context, request["Value"].encode(), binding, value_id, "InvalidKeyId")
    default_key = DEFAULT_KEY if kind == SECURE and not overwrite else None
    parameter = await context.ask(
        commands.PutParameter(
            name,
            kind,
            value,
            tier,
            overwrite=overwrite,
            description=request.get("Description"),
            key_id=request.get("KeyId", default_key),
            tags=tags,
        )
    )
    return {"Version": parameter.versions[-1].number, "Tier": parameter.tier}


async def get_parameter(context: Context, call: Call, request: Document) -> Document:
    return {"Parameter": await _read(context, request["Name"], decrypts=request.get("WithDecryption", False))}


async def get_parameters(context: Context, call: Call, request: Document) -> Document:
    """What is not there is listed in InvalidParameters."""
    names = request["Names"]
    if not 1 <= len(names) <= MAX_NAMES:
        raise _invalid(f"Names must hold 1 to {MAX_NAMES} names, got {len(names)}.")
    found: list[Document] = []
    invalid: list[str] = []
    for name in dict.fromkeys(names):
        try:
            found.append(await _read(context, name, decrypts=request.get("WithDecryption", False)))
        except Refused as refusal:
            if refusal.code not in ("ParameterNotFound", "ParameterVersionNotFound"):
                raise
            invalid.append(name)
    return {"Parameters": found, "InvalidParameters": invalid}


async def describe_parameters(context: Context, call: Call, request: Document) -> Document:
    """By name, without values; Filters or ParameterFilters."""
    if request.get("Filters") and request.get("ParameterFilters"):
        raise _invalid("You can use either Filters or ParameterFilters in a single request.")
    limit = request.get("MaxResults", MAX_PAGE)
    if not 1 <= limit <= MAX_PAGE:
        raise _invalid(f"MaxResults must be between 1 and {MAX_PAGE}, got {limit}.")
    old = [entry | {"Option": OLD_OPTIONS.get(entry["Key"], "Equals")} for entry in request.get("Filters", [])]
    entries = request.get("ParameterFilters") or old
    if len(entries) > MAX_FILTERS:
        raise _invalid(f"There must be at most {MAX_FILTERS} filters, got {len(entries)}.")
    filters = [_filter(entry) for entry in entries]
    after = _read_token(request.get("NextToken", ""))

    def work() -> list[Parameter]:
        return [p for p in every(context, PARAMETER) if p.name > after and all(matches(p) for matches in filters)]

    found = await context.read(work)
    answer: Document = {"Parameters": [_metadata(context, parameter) for parameter in found[:limit]]}
    return answer | ({"NextToken": _token(found[limit - 1].name)} if len(found) > limit else {})


async def delete_parameter(context: Context, call: Call, request: Document) -> Document:
    await context.ask(commands.DeleteParameter(request["Name"]))
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    parameter = await _tagged(context, request)
    return {"TagList": tag_list(parameter.tags)}


async def add_tags_to_resource(context: Context, call: Call, request: Document) -> Document:
    tags = tags_of(request["Tags"], _invalid)
    parameter = await _tagged(context, request)
    await context.ask(commands.TagResource(PARAMETER, parameter.name, tags))
    return {}


async def remove_tags_from_resource(context: Context, call: Call, request: Document) -> Document:
    keys = tag_keys_of(request["TagKeys"], _invalid)
    parameter = await _tagged(context, request)
    await context.ask(commands.UntagResource(PARAMETER, parameter.name, keys))
    return {}


# -- reading one --


async def _tagged(context: Context, request: Document) -> Parameter:
    """Returns the parameter that a request about tags refers to: only parameters have tags here."""
    kind, name = request["ResourceType"], request["ResourceId"]
    if kind != TAGGED:
        raise Refused(f"ResourceType must be {TAGGED} here, got {quoted(kind)!r}.", "InvalidResourceType")
    found, _ = await context.read(context.reader.documents, PARAMETER, list(parameter_names(name)))
    if not found:
        raise Refused(f"There is no parameter {quoted(name)}.", "InvalidResourceId")
    parameter: Parameter = found[0]
    return parameter


async def _read(context: Context, text: str, *, decrypts: bool) -> Document:
    """Returns the Parameter of a name, or an ARN, with or without a version."""
    reference = parse_parameter(text)
    stored, _ = await context.read(context.reader.documents, PARAMETER, list(parameter_names(reference.name)))
    parameter, version = find_parameter({parameter.name: parameter for parameter in stored}, reference)
    document: Document = {
        "Name": parameter.name,
        "Type": parameter.type,
        "Value": await _value(context, parameter, version, decrypts=decrypts),
        "Version": version.number,
        "LastModifiedDate": seconds(version.created_at_ms),
        "ARN": context.account.parameter_arn(parameter.name),
        "DataType": DATA_TYPE,
    }
    return document | ({"Selector": f":{reference.version}"} if reference.version else {})


async def _value(context: Context, parameter: Parameter, version: ParameterVersion, *, decrypts: bool) -> str:
    """Returns the value; a SecureString that is not to be decrypted is returned as stored."""
    if parameter.type == SECURE and not decrypts:
        return base64.b64encode(version.sealed).decode()
    binding = parameter_binding(parameter.name, version.value_id)
    return (await unseal(context, version.sealed, binding, "InvalidKeyId")).decode()


def _metadata(context: Context, parameter: Parameter) -> Document:
    latest = parameter.versions[-1]
    document: Document = {
        "Name": parameter.name,
        "ARN": context.account.parameter_arn(parameter.name),
        "Type": parameter.type,
        "LastModifiedDate": seconds(latest.created_at_ms),
        "Version": latest.number,
        "Tier": parameter.tier,
        "Policies": [],
        "DataType": DATA_TYPE,
    }
    if parameter.description:
        document["Description"] = parameter.description
    if parameter.key_id:
        document["KeyId"] = parameter.key_id
    return document


# -- checks --


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME_LENGTH or not NAME.fullmatch(name):
        raise _invalid(
            f"Parameter name: must have 1 to {MAX_NAME_LENGTH} characters: letters, digits and the symbols . - _ /"
        )
    if "/" in name and not name.startswith("/"):
        raise _invalid(f"Parameter name must be a fully qualified name: begin it with a slash, /{quoted(name)}.")
    if RESERVED_NAME.match(name):
        raise _invalid('Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).')
    if name.count("/") > MAX_LEVELS:
        raise Refused(f"A hierarchy can have at most {MAX_LEVELS} levels.", "HierarchyLevelLimitExceededException")


def _tier(request: Document) -> str:
    """Returns the tier that the value needs, within the requested one."""
    asked, size = request.get("Tier", "Standard"), len(request["Value"])
    if asked not in TIERS:
        raise _invalid(f"Tier must be one of {', '.join(TIERS)}, got {quoted(asked)!r}.")
    if not 1 <= size <= MAX_CHARACTERS[asked]:
        raise _invalid(
            f"{asked} tier parameters support values of 1 to {MAX_CHARACTERS[asked]} characters, got {size}. Longer "
            f"ones, up to {MAX_CHARACTERS['Advanced']}, need the tier Advanced."
        )
    if asked == "Intelligent-Tiering":
        return "Standard" if size <= MAX_CHARACTERS["Standard"] else "Advanced"
    return str(asked)


def _filter(entry: Document) -> Matches:
    key, values = entry["Key"], entry.get("Values", [])
    option = entry.get("Option") or ("OneLevel" if key == "Path" else "Equals")
    if key == "Path":
        if option not in ("OneLevel", "Recursive"):
            raise Refused("The Option of a Path filter is OneLevel or Recursive.", "InvalidFilterOption")
        return lambda p: any(_is_below(p.name, path, deep=option == "Recursive") for path in values)
    if key.startswith("tag:"):
        read: Callable[[Parameter], str | None] = lambda p: p.tags.get(key.removeprefix("tag:"))  # noqa: E731
    elif key in MEMBERS:
        read = MEMBERS[key]
    else:
        raise Refused(f"Parameters can't be filtered by {quoted(key)} here.", "InvalidFilterKey")
    if option not in OPTIONS:
        raise Refused(f"A filter's Option must be one of {', '.join(OPTIONS)}.", "InvalidFilterOption")
    compare = OPTIONS[option]

    def matches(parameter: Parameter) -> bool:
        text = read(parameter)
        return text is not None and (not values or any(compare(text, value) for value in values))

    return matches


def _is_below(name: str, path: str, *, deep: bool) -> bool:
    prefix = path.rstrip("/") + "/"
    return name.startswith(prefix) and (deep or "/" not in name[len(prefix) :])


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise Refused("NextToken must be the one of the same list's earlier answer.", "InvalidNextToken") from None


def _invalid(message: str) -> Refused:
    return Refused(message, "ValidationException")
