"""The API for people: a page and a document, both from the OpenAPI document, without scripts."""

from collections.abc import Iterable
from html import escape

import msgspec

from ambientd.api.rest.binding import Row
from ambientd.api.rest.openapi import Schema, describe
from ambientd.api.routes import BASE_PATH
from ambientd.ports.http import HttpAnswer, HttpRequest

DOCUMENT_PATH = f"{BASE_PATH}/openapi.json"
PAGE_PATH = f"{BASE_PATH}/docs"
_BYTES = {"type": "bytes"}
_STYLE_ONLY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

_STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
summary { cursor: pointer; padding: .4rem 0; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid #8884; padding: .25rem .5rem; }
td, th { text-align: left; vertical-align: top; }
details { border-bottom: 1px solid #8884; }
.method { display: inline-block; min-width: 3.5rem; font-weight: 600; }
.needs { float: right; opacity: .75; }
"""


def html_page(document: Schema) -> str:
    """Give the page; it needs nothing from anywhere else."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>",
        f"<p>{_with_code(info['description'])}",
        f"<p>For programs: <a href='{DOCUMENT_PATH}'>openapi.json</a>.<main>",
    ]
    tag = ""
    for path, method, operation in _operations(document):
        if operation["tags"][0] != tag:
            tag = operation["tags"][0]
            parts.append(f"<h2 id={escape(tag)}>{escape(tag)}</h2>")
        parts.append(_html_operation(path, method, operation))
    parts.append("</main><h2 id=schemas>values</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        about, fields = _with_code(schema.get("description", "")), _html_fields(schema)
        parts.append(
            f"<details id={escape(name)}><summary>{escape(name)}</summary>{about}{fields}</details>"
        )
    return "".join(parts)


def _html_operation(path: str, method: str, operation: Schema) -> str:
    rows = [(each["name"], each["in"], each["schema"]) for each in operation["parameters"]]
    asked = operation.get("requestBody", {}).get("content", {})
    rows += [("body", kind, content.get("schema", _BYTES)) for kind, content in asked.items()]
    rows += [
        (status, kind, content.get("schema", _BYTES))
        for status, answer in operation["responses"].items()
        for kind, content in answer["content"].items()
    ]
    table = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(place)}<td>{_html_kind(schema)}"
        for name, place, schema in rows
    )
    return (
        f"<details id='{escape(operation['operationId'])}'><summary><span class=method>"
        f"{method.upper()}</span> <code>{escape(path)}</code> {escape(operation['summary'])}"
        f"<span class=needs>{escape(operation['x-scope'])}</span></summary>"
        f"<p>{_with_code(operation['description'])}<table>{table}</table></details>"
    )


def _html_fields(schema: Schema) -> str:
    needed = schema.get("required", ())
    rows = [
        f"<tr><td><code>{escape(name)}</code><td>{'needed' if name in needed else ''}"
        f"<td>{_html_kind(each)}"
        for name, each in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _html_kind(schema: Schema) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        return f"<a href='#{escape(name)}'>{escape(name)}</a>"
    return escape(_kind(schema))


def _kind(schema: Schema) -> str:
    """Name what a value may be, in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(str(each) for each in schema["enum"])
    kind = "base64" if "contentEncoding" in schema else str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_kind(schema.get('items') or {})}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_kind(schema['additionalProperties'])}"
    told = [kind]
    if "minimum" in schema or "maximum" in schema:
        told.append(f"{schema.get('minimum', '')} to {schema.get('maximum', '')}".strip())
    if "default" in schema:
        told.append(f"default {schema['default']!r}")
    return ", ".join(told)


def _with_code(text: str) -> str:
    """Give a text as HTML, with what stands in backquotes as code."""
    parts = escape(text).replace("\n\n", "<p>").split("`")
    return "".join(f"<code>{each}</code>" if at % 2 else each for at, each in enumerate(parts))


def _operations(document: Schema) -> list[tuple[str, str, Schema]]:
    found = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(found, key=lambda each: (each[2]["tags"][0], each[0], each[1]))


def markdown_table(document: Schema) -> str:
    """Give the list of operations for docs/api.md."""
    lines = ["| operation | does | needs |", "|---|---|---|"]
    lines += [
        f"| `{method.upper()} {path.removeprefix(BASE_PATH)}` | {operation['summary']} "
        f"| {operation['x-scope']} |"
        for path, method, operation in _operations(document)
    ]
    return "\n".join(lines) + "\n"


class Reference:
    """What is served beside the operations: the document, and the page for people."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self._made: dict[str, tuple[str, bytes]] = {}

    def find(self, request: HttpRequest) -> HttpAnswer | None:
        """Give a page, if it is asked for; both are made when that happens first."""
        path = request.path
        if path not in (DOCUMENT_PATH, PAGE_PATH) or request.method not in {"GET", "HEAD"}:
            return None
        if not self._made:
            document = describe(self._rows)
            self._made[DOCUMENT_PATH] = "application/json", msgspec.json.encode(document)
            self._made[PAGE_PATH] = "text/html; charset=utf-8", html_page(document).encode()
        kind, data = self._made[path]
        policy = ("content-security-policy", _STYLE_ONLY)
        return HttpAnswer(200, data, [("content-type", kind), policy])
