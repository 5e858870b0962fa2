"""The declaration of one service: everything that names services reads its descriptor, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from batchyard.api import page_tokens
from batchyard.api.context import Call, Context
from batchyard.api.model_checks import Check, length_check
from batchyard.core.model.refusal import CLIENT_EXCEPTION
from batchyard.wire.messages import Document
from batchyard.wire.model import ServiceModel, Shape, load_service_model, read_service_model

Handler = Callable[[Context, Call, Document], Awaitable[Document]]


@dataclass(frozen=True)
class ServiceDescriptor:
    """A service of AWS (or this program's own) that is answered here. The name in a signature's credential scope, the
    protocol and the shapes are the model's; they are not repeated here.

    name: the endpoint prefix of its model, and the service's key in the table of operations.
    title: its heading in the documentation.
    operations: what is built, by AWS's name. The model's others are routed, checked and refused as not built.
    endpoint_variable: the environment variable by which SDKs find the service; empty: there is none.
    is_for_jobs: jobs get the endpoint variable. is_announced: `batchyard up` prints it for clients.
    model_file: its model (`service-2.json`); None: the bundled one of this name.
    is_of_aws: its bundled model is made of AWS's. is_model_whole: that model keeps the operations which are not built,
    so that they are refused by name; else only `operations` are kept.
    compile_check: makes, from an operation's input shape and `invalid_code`, what its requests must pass first.
    invalid_code: the error code of a request that asks for too much. bad_token_code: of a foreign page token.
    listed_by_names: the member of an operation's request that excludes pages.
    """

    name: str
    title: str
    operations: Mapping[str, Handler]
    endpoint_variable: str = ""
    is_for_jobs: bool = True
    is_announced: bool = False
    model_file: Path | None = None
    is_of_aws: bool = True
    is_model_whole: bool = False
    compile_check: Callable[[Shape | None, str], Check | None] = length_check
    invalid_code: str = CLIENT_EXCEPTION
    bad_token_code: str = CLIENT_EXCEPTION
    listed_by_names: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def model(self) -> ServiceModel:
        """Its model, read when it is first needed."""
        model = load_service_model(self.name) if self.model_file is None else read_service_model(self.model_file)
        assert model.name == self.name, f"the service {self.name} has the model of {model.name}"
        return model

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
