"""Write the table of operations for the dashboard: `python -m scripts.dashboard_table`.

Requests, answers and routes become TypeScript, so that the dashboard cannot drift from the daemon.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ambientd.api.operations import OPERATIONS

FILE = Path(__file__).parents[1] / "dashboard" / "src" / "api" / "table.ts"
HEAD = """/** The daemon's table of operations. Written by `python -m scripts.dashboard_table`. */
"""
_PLAIN = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def table() -> str:
    """Give the table as TypeScript."""
    rows = sorted(OPERATIONS.items())
    types = [kind for _, row in rows for kind in (row.request, row.response)]
    references, components = msgspec.json.schema_components(types, ref_template="{name}")
    names = [reference["$ref"] for reference in references]
    _, asked = msgspec.json.schema_components([row.request for _, row in rows])
    shapes = [
        _declared(name, components[name], is_answer=name not in asked)
        for name in sorted(components)
    ]
    requests, answers = names[::2], names[1::2]
    lines = [
        f'  "{name}": {{ request: {request}; answer: {answer} }};'
        for (name, _), request, answer in zip(rows, requests, answers, strict=True)
    ]
    routes = [
        f'  "{name}": {{ method: "{row.route.method}", path: "{row.route.path}" }},'
        for name, row in rows
    ]
    return "\n".join(
        [
            HEAD,
            *shapes,
            "/** What each operation asks for and answers. */",
            "export interface Operations {",
            *lines,
            "}\n",
            "/** Where each operation is, below the API's base path. */",
            "export const ROUTES = {",
            *routes,
            "} as const;\n",
        ]
    )


def _declared(name: str, schema: Mapping[str, Any], *, is_answer: bool) -> str:
    """Declare a shape; a daemon sends every field of an answer, also where there is a default."""
    words = " ".join(schema.get("description", "").split())
    text = f"/** {words} */\n" if words else ""
    if schema.get("type") != "object":
        return f"{text}export type {name} = {_shape(schema)};\n"
    if not schema["properties"]:
        return f"{text}export type {name} = Readonly<Record<string, never>>;\n"
    required = schema["properties"] if is_answer else schema.get("required", ())
    fields = "".join(
        f"  readonly {field}{'' if field in required else '?'}: {_shape(each)};\n"
        for field, each in schema["properties"].items()
    )
    return f"{text}export interface {name} {{\n{fields}}}\n"


def _shape(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"])
    if "enum" in schema:
        return " | ".join(f'"{each}"' for each in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_shape, schema["anyOf"])))
    match schema.get("type"):
        case "array":
            return f"readonly ({_shape(schema.get('items', {}))})[]"
        case "object":
            return f"Readonly<Record<string, {_shape(schema.get('additionalProperties', {}))}>>"
        case str(plain):
            return _PLAIN[plain]
        case _:
            return "unknown"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(table(), encoding="utf-8")
    print(f"wrote {FILE.relative_to(FILE.parents[3])}")
