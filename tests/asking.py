"""Asks an application everything that its description says may be asked, and much that it says may not.

Knows nothing of what the application does; schemathesis makes up the requests and judges the answers.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNAVAILABLE = 503
_JSON = "application/json"


@dataclass
class Asked:
    """What was asked, and what was answered otherwise than described."""

    statuses: dict[str, set[int]] = field(default_factory=dict)
    """By operation."""
    problems: dict[str, str] = field(default_factory=dict)
    """How to ask for it again, by what was wrong."""


@dataclass(frozen=True)
class Asking:
    """How to ask."""

    base: str
    """URL under which the application believes to be asked."""
    headers: Mapping[str, str]
    """Sent always."""
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What there is, by parameter of a path; every second request names some of it."""
    body: Callable[[Any], Any] = lambda body: body
    """What to send instead of a made-up body."""
    examples: int = 3
    """Requests of each operation that follow the description, and as many that do not."""

    def all(self, app: Any, document: Mapping[str, Any]) -> Asked:
        """Ask for every operation that `document` describes."""
        # A second, which tests that ask nothing need not wait for.
        import schemathesis
        from schemathesis.python.asgi import get_client

        settings = {"generation": {"with-security-parameters": False}}
        schema = schemathesis.openapi.from_dict(dict(document), config=schemathesis.Config.from_dict(settings))
        asked = Asked()
        with get_client(_alone(app)) as client:
            client.headers.update(self.headers)
            operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
            for operation in operations:
                for cases in _cases(operation):
                    self._ask(client, operation.label, cases, asked)
        return asked

    def _ask(self, client: Any, label: str, cases: Any, asked: Asked) -> None:
        from hypothesis import HealthCheck, Phase, given, seed, settings
        from schemathesis.core.failures import FailureGroup

        checks, count = list(_checks()), itertools.count()

        @seed(1)
        @settings(
            max_examples=self.examples, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(cases)
        def ask(case: Any) -> None:
            # What is set, even to what it was, schemathesis no longer knows to be right or wrong.
            if (named := self._named(case.path_parameters, next(count))) != case.path_parameters:
                case.path_parameters = named
            if (body := self.body(case.body)) is not case.body:
                case.body = body
            answer = case.call(base_url=self.base, session=client)
            asked.statuses.setdefault(label, set()).add(answer.status_code)
            try:
                case.validate_response(answer, checks=checks)
            except FailureGroup as failures:
                for failure in failures.exceptions:
                    asked.problems.setdefault(f"{label}: {type(failure).__name__}", str(failure) + str(failures))

        ask()

    def _named(self, parameters: Any, number: int) -> Any:
        known = {name: of[number // 2 % len(of)] for name, of in self.names.items() if name in (parameters or {})}
        return parameters if number % 2 or not known else {**parameters, **known}


def _alone(app: Any) -> Any:
    """The application without its beginning and end, which would last as long as the process."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("it is asked without its beginning and end")
        await app(scope, receive, send)

    return answer


def _cases(operation: Any) -> Iterator[Any]:
    """Requests as described, and such as are not where there is anything that could be wrong."""
    from schemathesis import GenerationMode

    yield operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if _could_be_wrong(operation.definition.raw):
        yield operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


def _could_be_wrong(described: Mapping[str, Any]) -> bool:
    """Whether there is a body of JSON, or a query that is not just any text."""
    queries = [parameter["schema"] for parameter in described.get("parameters", ()) if parameter.get("in") == "query"]
    kinds = {kind.get("type") for schema in queries for kind in schema.get("anyOf", [schema])}
    return bool(kinds - {"string", "null"}) or _JSON in described.get("requestBody", {}).get("content", {})


def _checks() -> Iterator[Callable[..., bool | None]]:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    def is_no_defect(context: Any, answer: Any, case: Any) -> bool | None:
        return None if answer.status_code == UNAVAILABLE else not_a_server_error(context, answer, case)

    yield is_no_defect
    yield checks.status_code_conformance
    yield checks.content_type_conformance
    yield checks.response_headers_conformance
    yield checks.response_schema_conformance
    yield checks.negative_data_rejection
