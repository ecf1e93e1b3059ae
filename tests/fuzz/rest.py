"""Probes the REST API of a live daemon by its own OpenAPI document, with schemathesis.

The prober sends what the document allows and what it forbids, and looks for answers that the
document does not tell of, for what should have been refused, and for errors of the server.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.operations import TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import SubmitTask, WaitForTask
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.config.places import Places, socket_path_for
from benchmarks.mesh import NOOP, await_ready, start_daemon

PORT = 4480
CONFIG = Path(__file__).parent / "schemathesis.toml"
# A stream without an end, an answer that waits for an hour, a file anywhere on this machine.
LEFT_OUT = ("events", "task.wait", "backup.create")


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
        with Client(socket_path_for(node)) as client:
            task = client.call(TASK_SUBMIT, SubmitTask(module=NOOP.read_bytes(), assurance="none"))
            client.call(TASK_WAIT, WaitForTask(task=task.task_id))
        status = _schemathesis(folder, port, words, examples, seed)
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


def _schemathesis(folder: Path, port: int, words: str, examples: int, seed: int) -> int:
    left_out = [part for name in LEFT_OUT for part in ("--exclude-operation-id", name)]
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        f"http://127.0.0.1:{port}{BASE_PATH}/openapi.json",
        *("--header", f"Authorization: Bearer {words}", "--max-examples", str(examples)),
        *("--seed", str(seed), "--request-timeout", "60", *left_out),
    ]
    return subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
