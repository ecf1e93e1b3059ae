"""Probes the REST API of a live daemon by its own OpenAPI document, with schemathesis.

The prober sends what the document allows and what it forbids, and looks for answers that the
document does not tell of, for what should have been refused, and for errors of the server. The
node has tasks, studies, a published module and a peer, which most requests that name one then name.
"""

import argparse
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.operations import MODULE_PUBLISH, STATUS
from ambientd.api.requests import GetStatus
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.client import Mesh, StartStudy
from ambientd.config.places import Places
from benchmarks.mesh import NOOP, await_ready, start_daemon
from tests.modules.publishing import wanted
from tests.own_ports import own_port

CONFIG = Path(__file__).parent / "schemathesis.toml"
HOOKS = "tests.fuzz.rest_hooks"


def main() -> int:
    """Probe; give the prober's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=30, help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, help="one that is free, unless given")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambient-rest-") as folder:
        return probe(Path(folder), chosen.port or own_port(), chosen.examples, chosen.seed)


def probe(folder: Path, port: int, examples: int, seed: int) -> int:
    """Start two nodes, give them work, and probe one."""
    create_cluster(folder / "mesh", 2, ClusterPlan(bitcoin="off", base_port=port + 1))
    node, other = folder / "mesh" / "node1", folder / "mesh" / "node2"
    switch_on(node, port)
    _, words = create_token(Places(node).http_file("http.tokens"), "probe", Scope.ADMIN, 0, 0)
    daemons = {each: start_daemon(each) for each in (node, other)}
    try:
        await_ready(node, 1)
        with Mesh(node) as mesh, Mesh(other) as peer:
            names = _furnish(mesh, peer.call(STATUS, GetStatus()).node)
        (folder / "names.json").write_text(json.dumps(names))
        status = _schemathesis(folder, port, words, examples, seed)
        for each, daemon in daemons.items():
            if daemon.poll() is not None:
                sys.exit(f"a daemon ended:\n{(each / 'log').read_text()[-3000:]}")
        return status
    finally:
        for daemon in daemons.values():
            daemon.terminate()
        for daemon in daemons.values():
            daemon.wait(30)


def switch_on(node: Path, port: int, more: str = "") -> None:
    """Let a node answer HTTP to whoever asks as often as it likes."""
    path = Places(node).config
    chosen = f'enabled = true\nlisten = "127.0.0.1:{port}"\nrequests_per_s = 100000\n{more}'
    path.write_text(path.read_text().replace("[http]\n", f"[http]\n{chosen}", 1))


def _furnish(mesh: Mesh, other: str) -> dict[str, dict[str, list[Any]]]:
    """Give the node one of everything; tell the fields that then name something, by operation."""
    module = NOOP.read_bytes()
    task = mesh.run(module, assurance="none")
    task.wait()
    waiting = mesh.run(module, assurance="none", constraints=("arch=none-such",))
    study = mesh.start_study(
        StartStudy(name="probed", model="mlp:64,4,10", rounds=2, participants_min=1)
    )
    study.join("digits:1/20")
    study.wait(120)
    inviting = mesh.start_study(
        StartStudy(name="waits", model="mlp:64,4,10", participants_min=9, invite_s=86_400)
    )
    words = wanted(module, "noop", gas_max=2_000_000)
    published = mesh.call(MODULE_PUBLISH, words)
    as_text = base64.b64encode(module).decode()
    everywhere: dict[str, list[Any]] = {
        "path.task": [task.task_id],
        "path.study": [study.study],
        "path.round": [1, 2],
        "path.node": [published.publisher, other],
        "path.about": [published.publisher, task.task_id],
        "path.publisher": [published.publisher],
        "path.name": [published.name],
        "path.sha256": [hashlib.sha256(module).hexdigest()],
        "path.module_sha256": [hashlib.sha256(module).hexdigest()],
    }
    started = {"body.module": [None], "body.aggregation": ["fedavg", "median"]}
    version: dict[str, list[Any]] = {"body.version": [published.version]}
    return {
        "*": everywhere,
        "task.submit": {
            "body.module": [as_text],
            "body.module_sha256": [None],
            "body.input_sha256": [None],
            "body.nonce": [None],
            "body.items": [None],
        },
        **{key: {"query.item": [None]} for key in ("task.output", "receipt.get")},
        **{key: {"body.item": [None]} for key in ("task.logs", "task.material")},
        "task.cancel": {"path.task": [waiting.task_id, task.task_id]},
        "fl.join": {"path.study": [inviting.study], "body.data": ["digits:1/20"]},
        "module.publish": {
            "body.module": [as_text],
            "body.module_sha256": [None],
            "body.version": [f"2.0.{number}" for number in range(200)],
            "body.name": ["noop", "another"],
            "body.interface": ["ambient"],
            "body.summary": ["does nothing"],
            "body.licence": ["MIT"],
            **{f"body.{each}": [1_000_000] for each in ("gas_max", "memory_bytes_max")},
            **{f"body.{each}": [1_000] for each in ("wall_ms_max", "output_bytes_max")},
        },
        **dict.fromkeys(("module.bring", "module.pin", "module.unpin"), version),
        "module.yank": {**version, "body.reason": ["tried"]},
        "image.name": {"body.module_sha256": [hashlib.sha256(module).hexdigest()]},
        "fl.start": {"body.model": ["mlp:64,4,10"], "body.trainer": ["numpy"], **started},
        "account.transfer": {"body.to": [other], "body.amount_msat": [1, 1_000]},
        "account.bond": {"body.amount_msat": [1, 1_000]},
        "member.vote": {"body.node": [other]},
    }


def _schemathesis(folder: Path, port: int, words: str, examples: int, seed: int) -> int:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        f"http://127.0.0.1:{port}{BASE_PATH}/openapi.json",
        *("--header", f"Authorization: Bearer {words}", "--max-examples", str(examples)),
        *("--seed", str(seed)),
    ]
    told = {"NO_COLOR": "1", "AMBIENT_PROBE": str(folder), "SCHEMATHESIS_HOOKS": HOOKS}
    told["PYTHONPATH"] = str(CONFIG.parents[2])
    return subprocess.run(command, cwd=folder, env={**os.environ, **told}).returncode


if __name__ == "__main__":
    sys.exit(main())
