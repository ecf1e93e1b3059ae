"""Spans as OTLP has them in JSON (opentelemetry-proto): ids in hex, times in nanoseconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ambientd import __version__
from ambientd.api.spans import Span, Value

PATH = "/v1/traces"
_INTERNAL = 1
_ERROR = 2


def encode_spans(spans: Sequence[Span], resource: Mapping[str, Value]) -> bytes:
    """Give the body of an export."""
    scope = {
        "scope": {"name": "ambientd", "version": __version__},
        "spans": [_span(each) for each in spans],
    }
    told = {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}
    return msgspec.json.encode({"resourceSpans": [told]})


def _span(span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {
        "traceId": span.trace,
        "spanId": span.id,
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": _nanos(span.start_ms),
        "endTimeUnixNano": _nanos(span.end_ms),
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "timeUnixNano": _nanos(time_ms),
                "name": kind,
                "attributes": _attributes({"text": text}),
            }
            for time_ms, kind, text in span.events
        ],
        "status": {"code": _ERROR, "message": span.error} if span.error else {},
    }
    return told | ({"parentSpanId": span.parent} if span.parent else {})


def _nanos(time_ms: int) -> str:
    return str(time_ms * 1_000_000)


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case str():
            return {"stringValue": value}
