"""Documents for any operation, made from its service model: valid, nearly valid and hostile. Seeded: the same rng and
the same pool give the same document."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from batchyard.wire.model import INTEGER_RANGES, Shape
from tests.evaluators.states.definition_mutations import mutated

Document = dict[str, Any]
KNOWN_PER_KIND = 40  # ids that are remembered of each kind
DEEPEST = 6  # of documents made from shapes that contain themselves
VERY_DEEP = 50_000
LONG_TEXT = "x" * 70_000

# Texts that have broken services: empty, of the wrong kind, long, invisible, not Unicode, paths, patterns, numbers.
HOSTILE_TEXTS = (
    "",
    " ",
    "\0",
    "a\nb",
    "\x1b[2J\x9b31m",
    "\u202eevil",
    "\ud800",
    "\U0001f680" * 60,
    "a" * 129,
    LONG_TEXT,
    "../../etc/passwd",
    "%s%n%00",
    "Ref::",
    "Ref::x",
    "${HOME}",
    "'; DROP TABLE jobs; --",
    "*",
    "(((((a+)+)+)+)+)$",
    "?a ?b -c " * 40,
    "NaN",
    "-1",
    "1e999",
    "9" * 5000,
    "true",
    "null",
    "arn:aws:batch:us-east-1:123456789012:job-queue/",
    "arn:" + ":" * 50,
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-000000000000:999999999999999999999",
    "eyJhIjoxfQ==",
    "2024-02-30T25:61:61Z",
)
HOSTILE_NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**400, 1.5, -0.0, 1e308)
HOSTILE_VALUES: tuple[Any, ...] = (None, True, {}, [], [[]], {"": ""}, "", 0, float("nan"), float("inf"), [None])
# Programs that a job may be told to run here: nothing that leaves anything behind.
COMMANDS = (["true"], ["false"], ["echo", "hello"], ["no-such-program"], ["sh", "-c", "exit 3"], ["sleep", "0.2"], [""])
# Where a job may be sent, and what it may mount: nothing that the service could make.
PATHS = ("/", "/proc/none", "/dev/null", "relative", "..", "", "\0", "/" + "p" * 5000)
# Values by the end of a member's name, where chance would never find one that gets through the first checks.
HINTS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("command", COMMANDS),
    ("sourcepath", PATHS),
    ("containerpath", PATHS),
    ("hostpath", PATHS),
    ("directory", PATHS),
    ("image", ("busybox", "registry.example/a/b:c@sha256:0")),
    ("servicerole", ("arn:aws:iam::123456789012:role/r",)),
    ("arn", ("arn:aws:iam::123456789012:role/r", "arn:aws:batch:us-east-1:123456789012:job-definition/work:1")),
    ("memory", (64, "64", 1)),
    ("vcpus", (1, 2)),
    ("size", (2, 3, 2, 3, 1, 10_001)),
    ("attempts", (1, 2, 10)),
    ("instancetypes", (["c5.large"], ["optimal"], ["nonsense"])),
    ("maxresults", (1, 2, 100)),
    ("limit", (1, 50)),
    ("secretstring", ("v", "{}")),
)
# Members that mean one thing under several names. The longest end of a member's name counts.
KINDS = {
    "jobid": "job",
    "jobs": "job",
    "jobqueue": "queue",
    "jobqueuename": "queue",
    "jobqueues": "queue",
    "jobqueuearn": "queue",
    "jobdefinition": "definition",
    "jobdefinitions": "definition",
    "jobdefinitionarn": "definition",
    "jobdefinitionname": "definition",
    "computeenvironment": "environment",
    "computeenvironments": "environment",
    "computeenvironmentname": "environment",
    "computeenvironmentarn": "environment",
    "schedulingpolicyarn": "policy",
    "arns": "policy",
    "resourcearn": "policy",
    "loggroupname": "group",
    "loggroupidentifier": "group",
    "logstreamname": "stream",
    "logstreamnames": "stream",
    "nexttoken": "token",
    "nextforwardtoken": "token",
    "secretid": "secret",
    "name": "secret",
    "names": "secret",
    "versionid": "version",
    "clientrequesttoken": "version",
    "cluster": "cluster",
    "clusters": "cluster",
    "clusterarn": "cluster",
    "clusterarns": "cluster",
    "taskarns": "task",
    "containerinstancearns": "instance",
    "ec2instanceid": "instance",
    "arn": "policy",
    "connectionarn": "connection",
    "task": "task",
    "tasks": "task",
    "taskarn": "task",
    "containerinstances": "instance",
    "containerinstancearn": "instance",
    "instanceid": "instance",
    "instanceids": "instance",
    "statemachinearn": "machine",
    "statemachineversionarn": "machine",
    "statemachinealiasarn": "machine",
    "executionarn": "execution",
    "maprunarn": "map run",
    "tasktoken": "task token",
    "activityarn": "activity",
    "revisionid": "revision",
    "topicarn": "topic",
    "subscriptionarn": "subscription",
}


# What an ARN names, whatever the member that held it.
ARNS = (
    (":mapRun:", "map run"),
    (":scheduling-policy/", "policy"),
    (":job-queue/", "queue"),
    (":compute-environment/", "environment"),
    (":job-definition/", "definition"),
    (":job/", "job"),
    (":cluster/", "cluster"),
    (":task/", "task"),
    (":container-instance/", "instance"),
    (":secret:", "secret"),
    (":connection/", "connection"),
    (":stateMachine:", "machine"),
    (":execution:", "execution"),
    (":express:", "execution"),
    (":mapRun:", "map run"),
)


class Pool:
    """Ids that earlier answers gave, by what they name."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._known: dict[str, list[str]] = {}

    def learn(self, answer: Any, name: str = "") -> None:
        if isinstance(answer, dict):
            for key, value in answer.items():
                self.learn(value, key)
        elif isinstance(answer, list):
            for value in answer[:20]:
                self.learn(value, name)
        elif isinstance(answer, str) and answer:
            kind = next((kind for mark, kind in ARNS if mark in answer), KINDS.get(name.lower()))
            if kind is not None:
                self._remember(kind, answer)

    def _remember(self, kind: str, text: str) -> None:
        known = self._known.setdefault(kind, [])
        if text not in known:
            known.append(text)
            if len(known) > KNOWN_PER_KIND:
                known.pop(self._rng.randrange(len(known)))

    def draw(self, name: str) -> str | None:
        known = self._known.get(KINDS.get(name.lower(), ""))
        return self._rng.choice(known) if known else None


class Maker:
    """Makes documents. `spite`: the share of scalars that are hostile."""

    def __init__(self, rng: random.Random, pool: Pool) -> None:
        self._rng = rng
        self._pool = pool
        self.spite = 0.0

    def document(self, shape: Shape | None, template: Document | None) -> Document:
        """A third each: as it should be, a little wrong, and anything."""
        rng = self._rng
        self.spite = rng.choice((0.0, 0.05, 0.4))
        if shape is None:
            return {} if rng.random() < 0.5 else {"extra": self._anything()}
        if template is not None and rng.random() < (0.6 if self.spite else 0.9):
            made = {name: self._filled(name, value) for name, value in copy.deepcopy(template).items()}
            if self.spite and rng.random() < 0.5:  # more of what the model has
                made |= {k: v for k, v in self._structure(shape, 0).items() if k not in made and rng.random() < 0.3}
        else:
            made = self._structure(shape, 0)
        if isinstance(made.get("definition"), str) and rng.random() < 0.5:  # of a state machine
            made["definition"] = mutated(rng)
        for _ in range(rng.choice((0, 0, 1, 1, 3)) if self.spite else 0):
            self._spoil(made)
        return made

    def _filled(self, name: str, value: Any) -> Any:
        """A template's value; `None` in it stands for an id from earlier answers."""
        if value is None:
            return self._pool.draw(name) or "unknown"
        if isinstance(value, dict):
            return {key: self._filled(key, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(name, inner) for inner in value]
        if isinstance(value, str) and value.endswith("-N"):
            return f"{value[:-1]}{self._rng.randrange(6)}"
        return value

    def _structure(self, shape: Shape, depth: int) -> Document:
        share = self._rng.choice((0.1, 0.3, 0.9)) if depth < DEEPEST else 0.0
        return {
            member.wire_name: self._value(member.shape, member.name, depth + 1)
            for member in shape.members.values()
            if member.required or self._rng.random() < share
        }

    def _value(self, shape: Shape, name: str, depth: int) -> Any:
        rng = self._rng
        if rng.random() < self.spite:
            return self._hostile(shape)
        if shape.type == "structure":
            return self._structure(shape, depth)
        hinted = next((values for end, values in HINTS if name.lower().endswith(end)), None)
        if hinted is not None and rng.random() < 0.9 and isinstance(hinted[0], list) == (shape.type == "list"):
            return copy.deepcopy(rng.choice(hinted))
        if shape.type == "list":
            assert shape.element is not None
            count = rng.choice((0, 1, 1, 2, 3)) if depth < DEEPEST else 0
            return [self._value(shape.element, name, depth + 1) for _ in range(max(count, shape.minimum or 0))]
        if shape.type == "map":
            assert shape.element is not None
            keys = [rng.choice(("a", "b", "Name", "batchyard:engine")) for _ in range(rng.choice((0, 1, 2)))]
            return {key: self._value(shape.element, key, depth + 1) for key in keys}
        return self._scalar(shape, name)

    def _scalar(self, shape: Shape, name: str) -> Any:
        rng = self._rng
        if shape.type in INTEGER_RANGES:
            low = shape.minimum if shape.minimum is not None else 0
            high = shape.maximum if shape.maximum is not None else low + 100
            return rng.choice((low, high, rng.randint(low, max(low, high)), rng.randint(low, low + 5)))
        if shape.type == "boolean":
            return rng.random() < 0.5
        if shape.type in ("float", "double", "timestamp"):
            return rng.choice((0, 1.5, 100.0, 1_700_000_000))
        if shape.type == "blob":
            return rng.choice(("", "aGVsbG8=", "!"))
        known = self._pool.draw(name)
        if known is not None and rng.random() < 0.7:
            return known
        if shape.enum:
            return rng.choice(shape.enum)
        return rng.choice(("a", "name-1", "x" * max(1, shape.minimum or 1), "1", "ENABLED", "a:1"))

    def _hostile(self, shape: Shape) -> Any:
        rng = self._rng
        kind = rng.random()
        if kind < 0.5 and shape.type in ("string", "blob", "timestamp"):
            return rng.choice(HOSTILE_TEXTS)
        if kind < 0.7 and shape.type in (*INTEGER_RANGES, "float", "double", "timestamp"):
            return rng.choice(HOSTILE_NUMBERS)
        if kind < 0.6 and shape.type == "list":
            return [self._anything()] * rng.choice((1, 50, 2000))
        if kind < 0.6 and shape.type == "map":
            return {text: self._anything() for text in rng.sample(HOSTILE_TEXTS[:20], 3)}
        return self._anything()

    def _anything(self) -> Any:
        """One of its own each time: what is made of it is changed later."""
        return copy.deepcopy(self._rng.choice((*HOSTILE_VALUES, *HOSTILE_TEXTS, *HOSTILE_NUMBERS)))

    def _spoil(self, document: Document) -> None:
        """One place of it: another value, none, a further one, or one of elsewhere."""
        rng = self._rng
        places = list(_places(document))
        if not places:
            document["extra"] = self._anything()
            return
        holder, key = rng.choice(places)
        if isinstance(key, str) and key.lower() in ("command", "user"):
            return  # what a job runs, and as whom, is chosen above
        deed = rng.randrange(5)
        if deed == 0:
            holder[key] = self._anything()
        elif deed == 1:
            del holder[key]
        elif deed == 2 and isinstance(holder, dict):
            holder[rng.choice(HOSTILE_TEXTS)] = copy.deepcopy(holder[key])
        elif deed == 3 and isinstance(holder, list):
            holder.extend([holder[key]] * rng.choice((1, 100)))
        else:
            other, place = rng.choice(places)
            if not (isinstance(place, str) and place.lower() == "command"):
                holder[key] = copy.deepcopy(other[place])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            if key.lower() != "command":
                yield from _places(inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value[:20]):
            yield value, index
            yield from _places(inner)


def as_json(document: Document, rng: random.Random) -> bytes:
    """Its text; one in eight is no JSON, or JSON that says too much."""
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() > 0.125:
        return text
    spoiled = (
        text[: rng.randrange(len(text) + 1)],
        text[:-1] + b"," + text[1:],  # every member twice
        text.replace(b'"', b"'", 1),
        text + text,
        b"\xef\xbb\xbf" + text,
        text.decode("utf-8", "replace").encode("utf-16"),
        text.replace(b"a", b"\xff", 1) + b"\xc3",
        b'{"a":' * VERY_DEEP,
        b"[" * VERY_DEEP + b"]" * VERY_DEEP,
        b'{"jobName":' + b"9" * 5000 + b"}",
        b'{"x":NaN,"y":-Infinity,"z":1e99999}',
        b"null",
        b'"text"',
        b"[]",
        b"",
        b" \n\t" * 1000,
        b"\0" * 100,
    )
    return rng.choice(spoiled)


def as_form(name: str, version: str, document: Document, rng: random.Random) -> bytes:
    """A document of the form-encoded protocols, as any client could spell it, or as none would."""
    from urllib.parse import quote

    fields = [("Action", name), ("Version", version), *_fields(document, "")]
    if rng.random() < 0.3:
        text = rng.choice(HOSTILE_TEXTS)
        index = rng.choice(("0", "1", "01", "-1", "9" * 30, "4294967296", "x", ""))
        fields.append((f"Filter.{index}.Value.{index}", text))
        fields.append((text, text))
        fields.append((f"InstanceId{'.1' * rng.choice((1, 3, 500))}", text))
    made = "&".join(f"{quote(k, errors='replace')}={quote(str(v), errors='replace')}" for k, v in fields).encode()
    if rng.random() < 0.15:
        made = rng.choice((made[: len(made) // 2], made + b"&%zz=%f", made.replace(b"=", b"=="), b"&" * 30_000 + made))
    return made


def _fields(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(inner, f"{name}.{key[:1].upper()}{key[1:]}" if name else key[:1].upper() + key[1:])
    elif isinstance(value, list):
        for index, inner in enumerate(value, 1):
            yield from _fields(inner, f"{name}.{index}")
    else:
        yield name, value
