"""Errors over HTTP: problem details (RFC 9457), with the code and hint of every other front end."""

from http import HTTPStatus

import msgspec

from ambientd.api.operations import Failure
from ambientd.ports.http import HttpAnswer

CONTENT_TYPE = "application/problem+json"

STATUS_OF_CODE = {
    "malformed": 400,  # it does not fit the schema
    "protocol": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_operation": 404,
    "wrong_method": 405,
    "not_acceptable": 406,
    "ambiguous": 409,
    "cancelled": 409,  # while the caller waited
    "not_ready": 409,
    "outcome_unknown": 409,
    "rejected": 409,
    "under_way": 409,
    "too_large": 413,
    "unsupported": 415,
    "no_such_range": 416,
    "misdirected": 421,
    "invalid": 422,  # it fits the schema, and makes no sense here
    "reused_key": 422,
    "too_many": 429,
    "internal": 500,
    "config": 500,
    "busy": 503,
    "unavailable": 503,
    "unready": 503,
    "timeout": 504,
    "store": 507,
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong; `code` is for programs, `hint` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""


def problem_of(failure: Failure) -> Problem:
    """Give a failure its place in HTTP."""
    status = STATUS_OF_CODE.get(failure.code, 500)
    return Problem(
        type=f"urn:ambient:problem:{failure.code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=failure.message,
        code=failure.code,
        hint=failure.hint,
    )


def problem_answer(failure: Failure, headers: list[tuple[str, str]] | None = None) -> HttpAnswer:
    """Give the answer that tells a failure."""
    problem = problem_of(failure)
    told = [("content-type", CONTENT_TYPE), *(headers or [])]
    return HttpAnswer(problem.status, msgspec.json.encode(problem), told)
