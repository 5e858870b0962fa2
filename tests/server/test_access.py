"""Who may call: the rules as a table, with made-up connections, keys and clocks."""

from pathlib import Path

import pytest

from batchyard.server.access.access import Access, AccessError, Client, Rules, check_listening
from batchyard.server.access.keys import Key, KeyFile, add_key, remove_key
from batchyard.server.access.peers import PeerUser
from batchyard.wire.messages import Request, WireError
from batchyard.wire.sigv4 import sign

NOW_MS = 1_790_000_000_000
OPERATOR = Key("BYOPXXXXXXXXXXXXXXXX", "operator-secret")
OWN_UID = 1000
URL = "http://127.0.0.1:8470/v1/listjobs"
LOCAL = Rules("127.0.0.1", bound_to_loopback=True)
OPEN = Rules("0.0.0.0", bound_to_loopback=False)
OWNER = Client("127.0.0.1", PeerUser(OWN_UID))


def signed(
    access_key: str = "any", secret: str = "wrong", url: str = URL, now_ms: int = NOW_MS, **headers: str
) -> Request:
    made = sign(
        "POST",
        url,
        {},
        b"{}",
        access_key=access_key,
        secret_key=secret,
        session_token=None,
        region="eu-west-3",
        service="batch",
        now_ms=now_ms,
    )
    return Request("POST", b"/v1/listjobs", b"", {n.lower(): v for n, v in made.items()} | headers, b"{}")


def access(tmp_path: Path, rules: Rules = LOCAL) -> Access:
    return Access(rules, KeyFile(tmp_path / "keys.json"), OPERATOR, lambda: NOW_MS, OWN_UID)


def code(access: Access, request: Request, client: Client = OWNER) -> str:
    """Empty when the request may pass."""
    try:
        access.check(request, client)
    except WireError as error:
        refusal = error
    else:
        return ""
    assert refusal.status == 403
    assert refusal.message.endswith((".", ")"))
    return refusal.code


@pytest.mark.parametrize(
    ("uid", "others", "expected"),
    [
        (OWN_UID, False, ""),
        (0, False, ""),
        (1001, False, "AccessDeniedException"),
        (None, False, "AccessDeniedException"),
        (1001, True, ""),
        (None, True, ""),
    ],
)
def test_other_users_of_this_machine(tmp_path: Path, uid: int | None, others: bool, expected: str) -> None:
    rules = Rules("127.0.0.1", bound_to_loopback=True, allow_other_users=others)
    assert code(access(tmp_path, rules), signed(), Client("127.0.0.1", PeerUser(uid))) == expected


def test_a_refused_user_is_told_how_a_job_of_that_user_calls(tmp_path: Path) -> None:
    with pytest.raises(WireError) as refused:
        access(tmp_path).check(signed(), Client("127.0.0.1", PeerUser(1001)))
    for remedy in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "--no-job-credentials", "--allow-other-users", "keys add"):
        assert remedy in refused.value.message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "localhost:8470"}, ""),
        ({"host": "LOCALHOST"}, ""),
        ({"host": "batch.localhost:1"}, ""),
        ({"host": "[::1]:8470"}, ""),
        ({"host": "127.0.0.2"}, ""),
        ({"host": "sync-localhost:8470"}, ""),
        ({"host": "sync-127.0.0.1:8470"}, ""),
        ({"host": "sync-evil.example"}, "AccessDeniedException"),
        ({"host": "evil.example:8470"}, "AccessDeniedException"),
        ({"host": "127.0.0.1.evil.example"}, "AccessDeniedException"),
        ({"host": "evil.example,localhost"}, "AccessDeniedException"),
        ({"host": "localhost@evil.example"}, "AccessDeniedException"),
        ({"host": "["}, "AccessDeniedException"),
        ({"host": ""}, "AccessDeniedException"),
        ({"host": "localhost:8470", "origin": "http://localhost:8470"}, ""),
        ({"host": "localhost:8470", "origin": "http://localhost:3000"}, "AccessDeniedException"),
        ({"origin": "http://evil.example"}, "AccessDeniedException"),
        ({"origin": "null"}, "AccessDeniedException"),
        ({"origin": ""}, "AccessDeniedException"),
        ({"authorization": ""}, "MissingAuthenticationTokenException"),
        ({"authorization": "Bearer x"}, "IncompleteSignatureException"),
    ],
)
def test_hosts_origins_and_the_signatures_form(tmp_path: Path, headers: dict[str, str], expected: str) -> None:
    assert code(access(tmp_path), signed(**headers)) == expected


def test_without_keys_any_key_passes_but_the_operators_is_verified(tmp_path: Path) -> None:
    rules = access(tmp_path)
    assert rules.check(signed("ci", now_ms=1_000_000_000_000), OWNER) == "ci"
    assert code(rules, signed(OPERATOR.access_key_id, OPERATOR.secret_access_key)) == ""
    assert code(rules, signed(OPERATOR.access_key_id, "wrong")) == "InvalidSignatureException"
    assert (
        code(rules, signed(OPERATOR.access_key_id, OPERATOR.secret_access_key, now_ms=1)) == "InvalidSignatureException"
    )


def test_with_a_key_every_request_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    rules = access(tmp_path, OPEN)
    stranger = Client("192.0.2.7", PeerUser(None, "elsewhere"))
    key = add_key(path, "ci")
    url = "http://batch.example:8470/v1/listjobs"
    assert rules.check(signed(key.access_key_id, key.secret_access_key, url), stranger) == key.access_key_id
    assert code(rules, signed(OPERATOR.access_key_id, OPERATOR.secret_access_key, url), stranger) == ""
    assert code(rules, signed(key.access_key_id, "wrong", url), stranger) == "InvalidSignatureException"
    assert code(rules, signed("any", "wrong", url), stranger) == "UnrecognizedClientException"
    assert code(rules, signed(authorization=""), stranger) == "MissingAuthenticationTokenException"
    assert code(access(tmp_path), signed(), OWNER) == "UnrecognizedClientException"
    # The last key goes while we listen to the network: the door stays shut but for the operator.
    remove_key(path, "ci")
    assert code(rules, signed(key.access_key_id, key.secret_access_key, url), stranger) == "AccessDeniedException"
    assert code(rules, signed(OPERATOR.access_key_id, OPERATOR.secret_access_key, url), stranger) == ""


def test_a_damaged_keys_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    (tmp_path / "keys.json").chmod(0o600)
    assert code(access(tmp_path), signed()) == "AccessDeniedException"


def test_listening_beyond_this_machine_takes_keys_or_a_word(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    check_listening(LOCAL, keys)
    check_listening(Rules("0.0.0.0", bound_to_loopback=False, insecure=True), keys)
    with pytest.raises(AccessError, match=r"Listening on 0\.0\.0\.0 would let anybody"):
        check_listening(OPEN, keys)
    add_key(tmp_path / "keys.json", "ci")
    check_listening(OPEN, keys)


def test_insecure_serves_the_network_but_no_foreign_pages(tmp_path: Path) -> None:
    rules = access(tmp_path, Rules("0.0.0.0", bound_to_loopback=False, insecure=True))
    stranger = Client("192.0.2.7", PeerUser(None, "elsewhere"))
    assert code(rules, signed(url="http://batch.example/v1/listjobs"), stranger) == ""
    assert code(rules, signed(origin="http://evil.example"), stranger) == "AccessDeniedException"
    assert code(rules, signed(authorization=""), stranger) == "MissingAuthenticationTokenException"
