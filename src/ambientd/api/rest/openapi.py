"""The OpenAPI 3.1 document of a table of operations; its schemas are those that decode requests."""

from collections.abc import Iterable, Mapping
from inspect import cleandoc
from typing import Any

import msgspec

from ambientd import __version__
from ambientd.api.rest.binding import Row
from ambientd.api.rest.problems import CONTENT_TYPE, STATUS_OF_CODE, Problem
from ambientd.api.routes import BASE_PATH, Method, Scope

Schema = dict[str, Any]
Refs = Mapping[type, Schema]

_REF = "#/components/schemas/{name}"
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_EVENT: Schema = {
    "description": "One event of the stream; `data` is JSON, that of the event `lost` is empty.",
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["event", "data"],
}
_ABOUT = """\
What a node of an Ambient mesh answers over HTTP. Identifiers are hex, times milliseconds since \
1970, amounts millisatoshi, bytes base64. A token goes into the header `Authorization: Bearer \
TOKEN`; `ambientctl token create` makes one. Errors are problem details (RFC 9457) with a `code` \
for programs and a `hint` for people."""


def describe(rows: Iterable[Row]) -> Schema:
    """Give the document."""
    known = list(rows)
    kinds: list[type] = list(
        dict.fromkeys([Problem, *(each for row in known for each in (row.request, row.response))])
    )
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for each in components.values():
        _name_base64(each)
    refs = dict(zip(kinds, schemas, strict=True))
    asked_only = set()
    paths: dict[str, Schema] = {}
    for row in known:
        name = refs[row.request]["$ref"].rpartition("/")[2]
        if row.route.method is not Method.POST:
            asked_only.add(name)
        place = paths.setdefault(BASE_PATH + row.route.path, {})
        place[row.route.method.lower()] = _operation(row, components[name], refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ambient", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": {name: each for name, each in components.items() if name not in asked_only},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(row: Row, request: Schema, refs: Refs) -> Schema:
    route = row.route
    told: Schema = {
        "operationId": row.name,
        "summary": route.summary,
        "description": cleandoc(row.request.__doc__ or ""),
        "tags": [row.name.partition(".")[0]],
        "x-scope": route.scope,
        "security": [] if route.scope is Scope.OPEN else [{"token": []}],
        "parameters": [*_parameters(row, request), *_headers(row)],
        "responses": _responses(row, refs),
    }
    if route.method is Method.POST:
        content = {"application/json": {"schema": _body(row, request, refs)}}
        is_needed = bool(set(request.get("required", ())) - set(route.parameters))
        told["requestBody"] = {"required": is_needed, "content": content}
    if route.method is Method.PUT:
        told["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return told


def _parameters(row: Row, request: Schema) -> list[Schema]:
    in_path = row.route.parameters
    found = []
    for name, schema in request.get("properties", {}).items():
        if name in in_path:
            found.append({"name": name, "in": "path", "required": True, "schema": schema})
        elif row.route.method is Method.GET:
            is_needed = name in request.get("required", ())
            place = {"name": name, "in": "query", "required": is_needed, "schema": schema}
            found.append(place)
    return found


def _headers(row: Row) -> list[Schema]:
    """Give the headers that mean something here."""
    if row.streaming:
        about = "The id of the last event that was seen; what came after it is told again."
        told = {"schema": {"type": "string"}, "description": about}
        return [{"name": "Last-Event-ID", "in": "header", **told}]
    text = {"type": "string", "pattern": "^[!-~]{1,64}$"}
    if row.route.changes and row.route.method is Method.POST:
        about = "The same key with the same request does nothing a second time, for a day."
        return [{"name": "Idempotency-Key", "in": "header", "schema": text, "description": about}]
    return []


def _body(row: Row, request: Schema, refs: Refs) -> Schema:
    in_path = row.route.parameters
    if not in_path:
        return refs[row.request]
    left = {name: each for name, each in request["properties"].items() if name not in in_path}
    needed = [name for name in request.get("required", ()) if name not in in_path]
    return {
        "type": "object",
        "properties": left,
        "required": needed,
        "additionalProperties": False,
    }


def _responses(row: Row, refs: Refs) -> Schema:
    part: Schema = {"application/octet-stream": {}}
    if row.streaming:
        content: Schema = {"text/event-stream": {"schema": _EVENT}}
    else:
        content = {"application/json": {"schema": refs[row.response]}}
    if row.route.raw:
        content |= part
    problem = {CONTENT_TYPE: {"schema": refs[Problem]}}
    codes = ", ".join(sorted(STATUS_OF_CODE))
    told: Schema = {
        str(row.route.status): {
            "description": cleandoc(row.response.__doc__ or ""),
            "content": content,
        },
        "default": {"description": f"A problem, whose code is one of {codes}.", "content": problem},
    }
    if row.route.raw:
        told["206"] = {"description": "The range of bytes that was asked for.", "content": part}
    return told


def _name_base64(schema: object) -> None:
    """Say in a pattern what base64 is, which most programs do not know by its name."""
    if isinstance(schema, dict):
        if schema.get("contentEncoding") == "base64":
            schema.setdefault("pattern", _BASE64)
        for each in schema.values():
            _name_base64(each)
    elif isinstance(schema, list):
        for each in schema:
            _name_base64(each)
