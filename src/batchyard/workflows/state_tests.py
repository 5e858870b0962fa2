"""TestState: one state with its data, evaluated without an execution (step functions spec 16).

It uses what executions use to compile and evaluate states. The call of a Task is the caller's: `run_test` returns what
is to be called, and takes the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from batchyard.evaluators.states.errors import NO_CHOICE_MATCHED, RUNTIME, StateError
from batchyard.evaluators.states.json_values import compact
from batchyard.evaluators.states.retriers import EXCEEDED_TOLERATED_FAILURES, delay_ms, matches
from batchyard.evaluators.states.scope import Draws, Scope
from batchyard.workflows.compiled_states import ChoiceState, FailState, MapState, PassState, State, TaskState, WaitState
from batchyard.workflows.executions.children import concurrency_of, items_of
from batchyard.workflows.executions.data_flow import (
    Assigned,
    evaluate,
    filtered_input,
    output_of_catcher,
    output_of_input,
    output_of_result,
    placed_result,
    work_input,
)
from batchyard.workflows.executions.payload import Payload, payload_of
from batchyard.workflows.executions.scopes import tolerated_count_of, tolerated_percentage_of
from batchyard.workflows.executions.states import NO_NEXT_STATE, chosen_rule, fail_text, wait_due_ms
from batchyard.workflows.resources import Resource

STATE_NAME = "StateName"  # of the state that is tested, in AWS's words
SUCCEEDED, FAILED, RETRIABLE, CAUGHT_ERROR = "SUCCEEDED", "FAILED", "RETRIABLE", "CAUGHT_ERROR"
THRESHOLD_EXCEEDED = "The specified tolerated failure threshold was exceeded"


class StateTestError(Struct, frozen=True):
    """The failure of the work of a state. `cause`: None where there is none."""

    error: str
    cause: str | None = None
    aliases: tuple[str, ...] = ()


class StateTest(Struct, frozen=True, kw_only=True):
    """What is tested. `scope`: without a document. `result`, `failure`: of the work of a Task, Map or Parallel: neither
    is given for a Task that is to be called. `retry_count`: how often its retrier has retried. `failed_items`: of a
    Map; `reader_items`: what its ItemReader has read."""

    state: State
    input: Payload
    scope: Scope
    result: Payload | None = None
    failure: StateTestError | None = None
    retry_count: int = 0
    failed_items: int = 0
    reader_items: Payload | None = None


class NeedsCall(Struct, frozen=True):
    """The work of a Task, which is to be called before the test can go on."""

    resource: Resource
    arguments: Payload


class StateTestOutcome(Struct, frozen=True, kw_only=True):
    """How a test ended. `inspection`: the members of inspectionData, JSON texts but for numbers and errorDetails."""

    status: str
    output: Payload | None = None
    error: str | None = None
    cause: str | None = None
    next: str | None = None
    inspection: dict[str, Any] = {}


def run_test(test: StateTest) -> StateTestOutcome | NeedsCall:
    """Returns how a test ends, or the call that it needs first."""
    return _Run(test).run()


class _Run:
    """One run of one test. `inspection`: what has been seen so far."""

    def __init__(self, test: StateTest) -> None:
        self.test = test
        self.state = test.state
        self.raw = test.input
        self.inspection: dict[str, Any] = {"input": test.input.text}

    @property
    def scope(self) -> Scope:
        """The scope from its first random value on: what is evaluated twice has the same values twice."""
        return structs.replace(self.test.scope, draws=Draws())

    def run(self) -> StateTestOutcome | NeedsCall:
        try:
            return _RUNNERS[self.state.type](self)
        except StateError as error:
            return self.failed(StateTestError(error.error, error.cause, error.aliases))

    # -- the types --

    def run_pass(self) -> StateTestOutcome:
        state = self.state
        assert isinstance(state, PassState)
        if state.is_jsonata:
            output, assigned = output_of_input(state, self.raw, self.scope, state.assign, state.output)
            return self.succeeded(output, assigned, state.next)
        if state.result is None:
            return self.with_result(self.work_input())
        result = Payload(state.result)
        self.see("result", result)
        return self.with_result(result)

    def run_input(self) -> StateTestOutcome:
        """Runs a Succeed or Wait state, which pass their input on. The time of a Wait is checked, not waited for."""
        state = self.state
        self.see_filtered_input()
        if isinstance(state, WaitState):
            wait_due_ms(state, self.raw, self.scope)
        output, assigned = output_of_input(state, self.raw, self.scope, state.assign, state.output)
        return self.succeeded(output, assigned, state.next)

    def run_choice(self) -> StateTestOutcome:
        state = self.state
        assert isinstance(state, ChoiceState)
        self.see_filtered_input()
        place = chosen_rule(state, self.raw, self.scope)
        if place is not None:
            rule = state.rules[place]
            return self.succeeded(*output_of_input(state, self.raw, self.scope, rule.assign, rule.output), rule.next)
        if state.default is None:
            raise StateError(RUNTIME, NO_NEXT_STATE, aliases=(NO_CHOICE_MATCHED,))
        output, assigned = output_of_input(state, self.raw, self.scope, state.assign, state.output)
        return self.succeeded(output, assigned, state.default)

    def run_fail(self) -> StateTestOutcome:
        state = self.state
        assert isinstance(state, FailState)
        self.see_filtered_input()
        error = fail_text(state.error, self.raw, self.scope)
        cause = fail_text(state.cause, self.raw, self.scope)
        return StateTestOutcome(status=FAILED, error=error, cause=cause, inspection=self.inspection)

    def run_task(self) -> StateTestOutcome | NeedsCall:
        assert isinstance(self.state, TaskState)
        arguments = self.work_input()
        if self.test.failure is not None:
            return self.failed(self.test.failure)
        if self.test.result is None:
            return NeedsCall(self.state.resource, arguments)
        self.see("result", self.test.result)
        return self.with_result(self.test.result)

    def run_parallel(self) -> StateTestOutcome:
        if self.test.failure is not None:
            return self.failed(self.test.failure)
        work_input(self.state, self.raw, self.scope)
        assert self.test.result is not None, "a Parallel state is tested with a mock"
        return self.with_result(self.test.result)

    def run_map(self) -> StateTestOutcome:
        state = self.state
        assert isinstance(state, MapState)
        effective = filtered_input(state, self.raw, self.scope)
        if not state.is_jsonata:
            self.see("afterInputPath", effective)
        if self.test.reader_items is None:
            items = items_of(state, self.raw, self.scope, effective, takes_objects=state.run is not None)
            if not state.is_jsonata:
                self.see("afterItemsPath", items)
        self.inspection["maxConcurrency"] = concurrency_of(state, self.raw, self.scope, effective)
        is_exceeded = self.exceeds_threshold(state, effective)
        if self.test.failure is not None:
            return self.failed(self.test.failure)
        if is_exceeded:
            return self.failed(StateTestError(EXCEEDED_TOLERATED_FAILURES, THRESHOLD_EXCEEDED))
        assert self.test.result is not None, "a Map state is tested with a mock"
        return self.with_result(self.test.result)

    def exceeds_threshold(self, state: MapState, effective: Payload) -> bool:
        """Whether more items failed than the thresholds of a distributed Map tolerate, where it has them."""
        if state.run is None:
            return False
        failed, is_exceeded = self.test.failed_items, False
        if state.run.tolerated_count is not None:
            count = tolerated_count_of(state.run.tolerated_count, self.raw, self.scope, effective)
            self.inspection["toleratedFailureCount"] = count
            is_exceeded = failed > count
        if state.run.tolerated_percentage is not None:
            percentage = tolerated_percentage_of(state.run.tolerated_percentage, self.raw, self.scope, effective)
            self.inspection["toleratedFailurePercentage"] = percentage
            total = len(self.test.result.value) if self.test.result is not None else 0
            is_exceeded = is_exceeded or (total > 0 and 100 * failed / total > percentage)
        return is_exceeded

    # -- data on its way --

    def see(self, member: str, payload: Payload) -> None:
        self.inspection[member] = payload.text

    def see_filtered_input(self) -> None:
        if not self.state.is_jsonata:
            self.see("afterInputPath", filtered_input(self.state, self.raw, self.scope))

    def work_input(self) -> Payload:
        """Returns what the work of the state gets."""
        self.see_filtered_input()
        found = work_input(self.state, self.raw, self.scope)
        if not self.state.is_jsonata:
            self.see("afterParameters", found)
        elif self.state.parameters is not None:
            self.see("afterArguments", found)
        return found

    def with_result(self, result: Payload) -> StateTestOutcome:
        """Takes the result of the work to the output of the state."""
        state = self.state
        if not state.is_jsonata:
            selected = result
            if state.result_selector is not None:
                selected = payload_of(evaluate(state.result_selector, self.raw, self.scope, result))
            self.see("afterResultSelector", selected)
            self.see("afterResultPath", placed_result(state.result_place, self.raw, selected))
        output, assigned = output_of_result(state, self.raw, result, self.scope)
        return self.succeeded(output, assigned, state.next)

    # -- ends --

    def succeeded(self, output: Payload, assigned: Assigned, following: str | None) -> StateTestOutcome:
        self.see_variables(assigned)
        return StateTestOutcome(status=SUCCEEDED, output=output, next=following, inspection=self.inspection)

    def see_variables(self, assigned: Assigned) -> None:
        variables = {**self.test.scope.variables, **assigned}
        if variables:
            self.inspection["variables"] = compact(variables)

    def failed(self, failure: StateTestError) -> StateTestOutcome:
        """Lets the work fail: what a retrier or catcher makes of it."""
        details: dict[str, Any] = {}
        for place, retrier in enumerate(self.state.retriers):
            if matches(retrier.error_equals, failure.error, failure.cause, failure.aliases):
                details["retryIndex"] = place
                if self.test.retry_count < retrier.max_attempts:
                    delay = delay_ms(retrier, self.test.retry_count, self.test.scope.seed)
                    details["retryBackoffIntervalSeconds"] = delay // 1000
                    return self.ended(RETRIABLE, failure, details)
                break
        for place, catcher in enumerate(self.state.catchers):
            if matches(catcher.error_equals, failure.error, failure.cause, failure.aliases):
                given = (("Error", failure.error), ("Cause", failure.cause))
                error_output = payload_of({name: text for name, text in given if text is not None})
                try:
                    output, assigned = output_of_catcher(self.state, catcher, self.raw, error_output, self.scope)
                except StateError as error:
                    return self.ended(FAILED, StateTestError(error.error, error.cause), details)
                self.see_variables(assigned)
                details["catchIndex"] = place
                return self.ended(CAUGHT_ERROR, failure, details, output, catcher.next)
        return self.ended(FAILED, failure, details)

    def ended(
        self,
        status: str,
        failure: StateTestError,
        details: dict[str, Any],
        output: Payload | None = None,
        following: str | None = None,
    ) -> StateTestOutcome:
        if details:
            self.inspection["errorDetails"] = details
        return StateTestOutcome(
            status=status,
            output=output,
            error=failure.error,
            cause=failure.cause,
            next=following,
            inspection=self.inspection,
        )


_RUNNERS: dict[str, Callable[[_Run], StateTestOutcome | NeedsCall]] = {
    "Pass": _Run.run_pass,
    "Succeed": _Run.run_input,
    "Wait": _Run.run_input,
    "Choice": _Run.run_choice,
    "Fail": _Run.run_fail,
    "Task": _Run.run_task,
    "Parallel": _Run.run_parallel,
    "Map": _Run.run_map,
}
