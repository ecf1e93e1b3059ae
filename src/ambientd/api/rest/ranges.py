"""A part of some bytes, as a caller that goes on with a download asks for it (RFC 9110)."""

import re
from dataclasses import dataclass

from ambientd.api.operation import Failure
from ambientd.api.rest.problems import problem_answer
from ambientd.ports.http import HttpAnswer

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Span:
    """Which bytes are answered, and with which status and headers."""

    status: int
    start: int
    stop: int
    headers: list[tuple[str, str]]


def span_of(size: int, wanted: str) -> Span | HttpAnswer:
    """Give all bytes, or the one range that is wanted, or a refusal; several are all bytes."""
    ranged = ("accept-ranges", "bytes")
    headers = [("content-type", CONTENT_TYPE), ranged]
    found = _ONE_RANGE.fullmatch(wanted.replace(" ", ""))
    if found is None or not any(found.groups()):
        return Span(200, 0, size, headers)
    first_text, last_text = found.groups()
    if first_text:
        first, last = int(first_text), min(int(last_text or size - 1), size - 1)
    else:
        first, last = max(0, size - int(last_text)), size - 1
    if first > last:
        message = f"it has {size} bytes, and none of them is in that range"
        failure = Failure(
            code="no_such_range", message=message, hint="ask for bytes that it has, from 0"
        )
        return problem_answer(failure, [ranged, ("content-range", f"bytes */{size}")])
    told = ("content-range", f"bytes {first}-{last}/{size}")
    return Span(206, first, last + 1, [*headers, told])


def bytes_answer(data: bytes, wanted: str) -> HttpAnswer:
    """Give bytes that are there as a whole, or a part of them."""
    span = span_of(len(data), wanted)
    if isinstance(span, HttpAnswer):
        return span
    return HttpAnswer(span.status, data[span.start : span.stop], span.headers)
