"""What the prober's requests are given so that they reach what lies behind their validation.

A request that the prober means to be taken names what the node has, in most places; but where the
very word is what is tried, it stays. Its Idempotency-Key is a new one: what is asked for under a
key that came before is no more than compared.
"""

import hashlib
import json
import os
import random
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import schemathesis

KNOWN_SHARE = 0.7
"""Of the requests; in the others the prober's invention stays."""
FOLDER = Path(os.environ["AMBIENT_PROBE"])
NAMES: dict[str, dict[str, list[Any]]] = json.loads((FOLDER / "names.json").read_text())
WAIT_MS = 50
_numbers = count()
_reached: set[str] = set()
_draws = random.Random(1)


@schemathesis.hook
def before_call(_: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Change a request before it is sent."""
    operation = case.operation.definition.raw["operationId"]
    if operation == "backup.create" and isinstance(case.body, dict):
        _keep_here(case.body)
    meta = case.meta
    if meta is None or meta.generation.mode != schemathesis.GenerationMode.POSITIVE:
        return
    tried = getattr(meta.phase.data, "parameter", None)
    if operation not in _reached or _draws.random() < KNOWN_SHARE:
        _reached.add(operation)
        _name(case, operation, tried)
    if operation == "task.wait" and tried != "timeout_ms":
        case.query = {**(case.query or {}), "timeout_ms": WAIT_MS}
    if "Idempotency-Key" in (case.headers or {}) and tried != "Idempotency-Key":
        case.headers["Idempotency-Key"] = f"probe-{next(_numbers)}"
    case._sync_validated_hashes()  # it is as good as it was, and nothing to judge anew


def _name(case: Any, operation: str, tried: str | None) -> None:
    """Name what is there; a value of None leaves its field away."""
    held = {"path": case.path_parameters, "query": case.query, "body": case.body}
    for field, values in sorted({**NAMES["*"], **NAMES.get(operation, {})}.items()):
        place, _, name = field.partition(".")
        fields, value = held[place], _draws.choice(values)
        if name == tried or not isinstance(fields, dict):
            continue
        if value is not None:
            fields[name] = value
        else:
            fields.pop(name, None)
    if operation == "blob.put" and tried != "sha256":
        case.body = b"the bytes"
        case.path_parameters["sha256"] = hashlib.sha256(case.body).hexdigest()


def _keep_here(body: dict[str, Any]) -> None:
    """Let a backup be written nowhere but below the probe's own folder, nor sent to a bucket."""
    path = body.get("path")
    if isinstance(path, str) and path.startswith(("/", "s3://")):
        body["path"] = str(FOLDER / f"{next(_numbers)}-{quote(path, safe='')[:64]}")
