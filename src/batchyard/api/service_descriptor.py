"""The declaration of one service: whatever needs the names of services reads the descriptors, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from batchyard.api import page_tokens
from batchyard.api.context import Call, Context
from batchyard.api.model_checks import Check, length_check
from batchyard.core.model.refusal import CLIENT_EXCEPTION
from batchyard.wire.messages import Document
from batchyard.wire.model import ServiceModel, Shape, load_service_model

Handler = Callable[[Context, Call, Document], Awaitable[Document]]


@dataclass(frozen=True)
class ServiceDescriptor:
    """A service of AWS (or this program's own) that is answered here. The name in a signature's credential scope, the
    protocol and the shapes are the model's; they are not repeated here.

    name: the endpoint prefix of its model, and the service's key in the table of operations.
    sdk_name: its name in SDKs and the AWS CLI, where that is another.
    title: its heading in the documentation.
    operations: what is built, by AWS's name. The model's others are routed, checked and refused as not built.
    is_for_jobs: jobs get `endpoint_variable`. is_announced: `batchyard up` prints it for clients.
    is_of_aws: SDKs know it, and its model is made of AWS's by `scripts/reduce_service_models.py`. is_model_whole: that
    model keeps the operations which are not built, so that they are refused by name; else only `operations` are kept.
    compile_check: makes, from an operation's input shape and `invalid_code`, what its requests must pass first.
    invalid_code: the error code of a request that asks for too much. token_code: the code for a page token of another
    request, where it is not `invalid_code`. token_text: its text, where it is not ours.
    waiting: the operations that may wait long; they end when their caller disconnects.
    listed_by_names: the member of an operation's request that excludes pages.
    """

    name: str
    title: str
    operations: Mapping[str, Handler]
    is_for_jobs: bool = True
    is_announced: bool = False
    is_of_aws: bool = True
    is_model_whole: bool = False
    compile_check: Callable[[Shape | None, str], Check | None] = length_check
    invalid_code: str = CLIENT_EXCEPTION
    token_code: str = ""
    token_text: str = ""
    listed_by_names: Mapping[str, str] = field(default_factory=dict)
    sdk_name: str = ""
    waiting: frozenset[str] = frozenset()

    @cached_property
    def model(self) -> ServiceModel:
        """Its bundled model, read when it is first needed."""
        model = load_service_model(self.name)
        assert model.name == self.name, f"the service {self.name} has the model of {model.name}"
        return model

    @property
    def endpoint_variable(self) -> str:
        """The environment variable by which SDKs find the service; empty for a service that is not of AWS."""
        return f"AWS_ENDPOINT_URL_{self.model.service_id.replace(' ', '_').upper()}" if self.is_of_aws else ""

    @property
    def bad_token_code(self) -> str:
        """The error code for a page token of another request."""
        return self.token_code or self.invalid_code

    @cached_property
    def checks(self) -> dict[str, Check]:
        """The check of each built operation's requests; an operation without one takes every value."""
        compiled = {
            name: self.compile_check(self.model.operations[name].input, self.invalid_code) for name in self.operations
        }
        return {name: check for name, check in compiled.items() if check is not None}

    @cached_property
    def token_members(self) -> dict[str, str]:
        """The name of the page token, by operation that answers in pages."""
        return page_tokens.token_members(self.model)
