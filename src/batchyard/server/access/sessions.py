"""Credentials of attempts: a job's program may call this service as itself, without a configured key.

Everything is derived from the data directory's secret and the attempt's id, and stored nowhere: it is the same after
a restart, and invalid once the attempt has ended. Programs get them as AWS's SDKs do inside ECS tasks: from the
container credentials endpoint (SDK reference guide: container credential provider).
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.jobs import attempts
from batchyard.core.machine import Machine
from batchyard.core.model import names
from batchyard.core.model.names import Account
from batchyard.core.model.records import JobSpec
from batchyard.server.access.attempt_proofs import AttemptProofs
from batchyard.wire.messages import Document, WireError

CREDENTIALS_PATH = "/v2/credentials/"  # as the ECS agent has it
# Before the path of a request whose signature, made with the keys of the owner's S3, does not identify the attempt.
SESSION_PATH = "/session/"
URI_VARIABLE = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
AUTHORIZATION_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
# A job that brings one of these wants credentials from somewhere else.
OTHER_SOURCES = (
    URI_VARIABLE,
    AUTHORIZATION_VARIABLE,
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)

AGENTS = ("169.254.170.2", "169.254.170.23")  # of ECS and EKS (SDK reference guide: container credential provider)
DEFAULT_ROLE = "batchyard-job"  # of a job whose definition names no jobRoleArn
ACCESS_KEY_PREFIX = "BYAS"
ACCESS_KEY_LETTERS = 16  # with the prefix 20 characters, as AWS's ids have
SECRET_BYTES = 30  # 40 characters, as AWS's secrets have
TOKEN_PREFIX = "batchyard."  # no token of AWS looks so: those are not checked here
# Purposes of the values that are derived for an attempt.
ADDRESS, AUTHORIZATION, SESSION_TOKEN = "address", "authorization", "session token"
ACCESS_KEY, SECRET_ACCESS_KEY = "access key", "secret access key"
# When SDKs ask again. What ends credentials is the attempt's end, so this is only as short as ECS makes it: a service
# that is just being restarted is then hardly ever asked.
LIFETIME_MS = 6 * 3600 * 1000
FORBIDDEN = 403
EXPIRED = "The security token included in the request is expired: the job attempt that it belongs to has ended."


class Session(Struct, frozen=True):
    """The identity of a live attempt at this service. `principal`: its ARN."""

    access_key_id: str
    secret_access_key: str
    principal: str
    role_arn: str


class Sessions:
    """Makes and checks the credentials of attempts. `role_of`: returns the role ARN of a live attempt's job
    (LiveRoles). `s3_keys`: an access key id and its secret that jobs get beside their own credentials."""

    def __init__(
        self,
        secret: bytes,
        account: Account,
        role_of: Callable[[str], str | None],
        now_ms: Callable[[], int],
        s3_keys: tuple[str, str] | None = None,
    ) -> None:
        self._proofs = AttemptProofs(secret)
        self._account = account
        self._role_of = role_of
        self._now_ms = now_ms
        self._s3_keys = s3_keys

    @property
    def has_s3_keys(self) -> bool:
        """Whether jobs sign with the keys of the owner's S3."""
        return self._s3_keys is not None

    def variables(self, address: str, attempt_id: str) -> tuple[tuple[str, str], ...]:
        """Returns the variables by which SDKs inside the attempt find the endpoint; none where they would refuse its
        address."""
        if not takes_credentials_from(address):
            return ()
        uri = f"{address}{CREDENTIALS_PATH}{attempt_id}"
        return ((URI_VARIABLE, uri), (AUTHORIZATION_VARIABLE, self._proofs.derive(AUTHORIZATION, attempt_id).hex()))

    def address(self, address: str, attempt_id: str) -> str:
        """Returns where the attempt reaches this service when it signs with the keys of S3: the path identifies it.
        Empty where there are no such keys, or SDKs send no credentials to the address."""
        if self._s3_keys is None or not takes_credentials_from(address):
            return ""
        return f"{address}{SESSION_PATH}{attempt_id}.{self._proofs.proof(ADDRESS, attempt_id)}"

    def attempt_at(self, raw_path: bytes) -> tuple[str, bytes] | None:
        """Returns the attempt whose `address` a request came to, and the path after it; None for every other path."""
        prefix = SESSION_PATH.encode()
        if self._s3_keys is None or not raw_path.startswith(prefix):
            return None
        name, _, rest = raw_path.removeprefix(prefix).decode("ascii", "replace").partition("/")
        attempt_id, _, proof = name.partition(".")
        if not self._proofs.is_proof(proof, ADDRESS, attempt_id):
            return None
        return attempt_id, f"/{rest}".encode("ascii", "replace")

    def by_s3_keys(self, attempt_id: str) -> Session:
        """Returns the session of an attempt that signs with the keys of S3. ExpiredTokenException when it has ended."""
        assert self._s3_keys is not None, f"attempt {attempt_id} has no keys of an S3"
        access_key_id, secret = self._s3_keys
        return replace(self._session(attempt_id), access_key_id=access_key_id, secret_access_key=secret)

    def answer(self, attempt_id: str, authorization: str) -> Document:
        """Returns the container credentials endpoint's document. Raises WireError 403."""
        if not hmac.compare_digest(
            authorization.encode("utf-8", "replace"), self._proofs.derive(AUTHORIZATION, attempt_id).hex().encode()
        ):
            raise WireError(
                "AccessDeniedException", f"The Authorization header must hold {AUTHORIZATION_VARIABLE}.", FORBIDDEN
            )
        session = self._session(attempt_id)
        expires = datetime.fromtimestamp((self._now_ms() + LIFETIME_MS) // 1000, UTC)
        return {
            "RoleArn": session.role_arn,
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": f"{TOKEN_PREFIX}{attempt_id}.{self._proofs.proof(SESSION_TOKEN, attempt_id)}",
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def find(self, token: str) -> Session | None:
        """Returns the session of an X-Amz-Security-Token; None when the token is not of this service.
        ExpiredTokenException when its attempt has ended."""
        if not token.startswith(TOKEN_PREFIX):
            return None
        attempt_id, _, proof = token.removeprefix(TOKEN_PREFIX).partition(".")
        if not self._proofs.is_proof(proof, SESSION_TOKEN, attempt_id):
            return None
        return self._session(attempt_id)

    def _session(self, attempt_id: str) -> Session:
        role_arn = self._role_of(attempt_id)
        if role_arn is None:
            raise WireError("ExpiredTokenException", EXPIRED, FORBIDDEN)
        letters = base64.b32encode(self._proofs.derive(ACCESS_KEY, attempt_id)).decode()[:ACCESS_KEY_LETTERS]
        secret = base64.urlsafe_b64encode(self._proofs.derive(SECRET_ACCESS_KEY, attempt_id)[:SECRET_BYTES]).decode()
        return Session(ACCESS_KEY_PREFIX + letters, secret, self._principal(role_arn, attempt_id), role_arn)

    def _principal(self, role_arn: str, attempt_id: str) -> str:
        account_id = self._account.account_id
        role = role_arn.rpartition("/")[2]
        return f"arn:{self._account.partition}:sts::{account_id}:assumed-role/{role}/{attempt_id}"


class LiveRoles:
    """Finds the roles of live attempts."""

    def __init__(self, machine: Machine, account: Account) -> None:
        self._machine = machine
        self._account = account

    def __call__(self, attempt_id: str) -> str | None:
        """Returns the role ARN of a STARTING or RUNNING attempt's job; None for any other id."""
        world = self._machine.world
        job = attempts.current(world, attempt_id)
        return None if job is None else role_arn(world.jobs.spec_of(job.key), self._account)


def role_arn(spec: JobSpec, account: Account) -> str:
    """Returns the role that a job's definition names: jobRoleArn, or taskRoleArn of ecsProperties; ours where it
    names none."""
    container = spec.task.container
    named = container.get("jobRoleArn") or container.get("taskRoleArn")
    # An ARN or, as the API allows too, a role's name.
    if named and named.startswith("arn:"):
        return str(named)
    return f"arn:{account.partition}:iam::{account.account_id}:role/{named or DEFAULT_ROLE}"


def session_name(principal: str) -> str:
    """Returns the attempt's task id in a session's principal; empty for other callers."""
    head, _, name = principal.rpartition("/")
    return name if ":assumed-role/" in head and names.parse_task_id(name) is not None else ""


def takes_credentials_from(address: str) -> bool:
    """Whether AWS's SDKs ask for credentials at this address: in clear text only on loopback, and at those of AWS's own
    agents."""
    parts = urlsplit(address)
    if parts.scheme == "https" or parts.hostname in ("localhost", *AGENTS):
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
