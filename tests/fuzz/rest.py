"""Probes the REST API of a live daemon by its own OpenAPI document, with schemathesis.

The prober sends what the document allows and what it forbids, and looks for answers that the
document does not tell of, for what should have been refused, and for errors of the server. The
node has a task, a study and a published module, which are named in most requests that name one.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.operations import MODULE_PUBLISH
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.client import Mesh, StartStudy
from ambientd.config.places import Places
from benchmarks.mesh import NOOP, await_ready, start_daemon
from tests.modules.publishing import wanted

PORT = 4480
CONFIG = Path(__file__).parent / "schemathesis.toml"
KNOWN_SHARE = 0.7
"""Of the places where something is named; in the others the prober invents a name."""
# A stream without an end, an answer that waits for an hour, a file anywhere on this machine.
LEFT_OUT = ("events", "backup.create")


def main() -> int:
    """Probe; give the prober's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=30, help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=PORT)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambient-rest-") as folder:
        return probe(Path(folder), chosen.port, chosen.examples, chosen.seed)


def probe(folder: Path, port: int, examples: int, seed: int) -> int:
    """Start a node of its own, give it a task, and probe it."""
    create_cluster(folder / "mesh", 1, ClusterPlan(bitcoin="off", base_port=port + 1))
    node = folder / "mesh" / "node1"
    switch_on(node, port)
    _, words = create_token(Places(node).http_file("http.tokens"), "probe", Scope.ADMIN, 0, 0)
    daemon = start_daemon(node)
    try:
        await_ready(node, 0)
        with Mesh(node) as mesh:
            config = _with_names(folder / "schemathesis.toml", _furnish(mesh))
        status = _schemathesis(folder, port, words, examples, seed, config)
        if daemon.poll() is not None:
            sys.exit(f"the daemon ended:\n{(node / 'log').read_text()[-3000:]}")
        return status
    finally:
        daemon.terminate()
        daemon.wait(30)


def switch_on(node: Path, port: int, more: str = "") -> None:
    """Let a node answer HTTP to whoever asks as often as it likes."""
    path = Places(node).config
    chosen = f'enabled = true\nlisten = "127.0.0.1:{port}"\nrequests_per_s = 100000\n{more}'
    path.write_text(path.read_text().replace("[http]\n", f"[http]\n{chosen}", 1))


def _furnish(mesh: Mesh) -> dict[str, list[str | int]]:
    """Give the node one of everything; give the values of the fields that then name something."""
    module = NOOP.read_bytes()
    task = mesh.run(module, assurance="none")
    task.wait()
    study = mesh.start_study(
        StartStudy(name="probed", model="mlp:64,4,10", rounds=2, participants_min=1)
    )
    study.join("digits:1/20")
    study.wait(120)
    words = wanted(module, "noop", gas_max=2_000_000)
    published = mesh.call(MODULE_PUBLISH, words)
    return {
        "path.task": [task.task_id],
        "path.study": [study.study],
        "path.round": [1, 2],
        "path.node": [published.publisher],
        "path.about": [published.publisher, task.task_id],
        "path.publisher": [published.publisher],
        "path.name": [published.name],
        "path.sha256": [hashlib.sha256(module).hexdigest()],
        "body.version": [published.version],
        "body.module_sha256": [published.module_sha256],
        "body.node": [published.publisher],
        "body.to": [published.publisher],
    }


def _with_names(path: Path, names: dict[str, list[str | int]]) -> Path:
    """Write the prober's config with names that it takes in most places, and its own in others."""
    lines = [CONFIG.read_text(), "[parameters]"]
    words = {field: field.replace(".", "_") for field in names}
    lines += [
        f'"{field}" = {{ dictionary = "{words[field]}", probability = {KNOWN_SHARE} }}'
        for field in names
    ]
    for field, values in names.items():
        lines += [f"[dictionaries.{words[field]}]", f"values = {json.dumps(values)}"]
    path.write_text("\n".join(lines) + "\n")
    return path


def _schemathesis(
    folder: Path, port: int, words: str, examples: int, seed: int, config: Path
) -> int:
    left_out = [part for name in LEFT_OUT for part in ("--exclude-operation-id", name)]
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
        f"http://127.0.0.1:{port}{BASE_PATH}/openapi.json",
        *("--header", f"Authorization: Bearer {words}", "--max-examples", str(examples)),
        *("--seed", str(seed), "--request-timeout", "60", *left_out),
    ]
    return subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
