"""Records of secrets and parameters keep what they are given when they are stored as JSON and read back."""

import msgspec

from batchyard.core.model.secret_records import Parameter, ParameterVersion, Secret, SecretVersion


def test_a_secret_and_its_versions_survive_being_stored() -> None:
    version = SecretVersion("v-1", b"sealed", b"digest", 5, ("AWSCURRENT",), is_binary=True)
    secret = Secret("db", "AbCdEf", 5, 6, (version,), "text", "key", {"a": "b"}, 7, 8)
    assert msgspec.json.decode(msgspec.json.encode(secret), type=Secret) == secret


def test_a_parameter_and_its_versions_survive_being_stored() -> None:
    parameter = Parameter("/a/b", "SecureString", (ParameterVersion(1, "id", b"sealed", 5),), tags={"a": "b"})
    assert msgspec.json.decode(msgspec.json.encode(parameter), type=Parameter) == parameter
