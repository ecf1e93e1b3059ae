"""The scripts that found clusters for containers write folders that a node starts with."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from ambientd.api.tokens import read_tokens
from ambientd.config.load import load_config
from ambientd.config.places import Places

DEPLOY = Path(__file__).parents[2] / "deploy"


def run(script: str, *words: str, **environment: str) -> str:
    """Run a script as its container does; give what it printed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(DEPLOY / script), *words],
        env=os.environ | environment | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_compose_gets_four_nodes_that_answer_prometheus_by_one_token(tmp_path: Path) -> None:
    mesh, shown = tmp_path / "mesh", tmp_path / "shown"
    shown.mkdir()
    run("compose/found.sh", MESH=str(mesh), SHOWN=str(shown))
    configs = [load_config(mesh / f"node{number}") for number in (1, 2, 3, 4)]
    assert all(config.http.enabled for config in configs)
    listens = [config.http.listen for config in configs]
    assert listens == ["0.0.0.0:4480", *(f"127.0.0.1:448{number}" for number in (1, 2, 3))]
    files = {Places(mesh / f"node{n}").http_file(configs[n - 1].http.tokens) for n in (1, 2, 3, 4)}
    (token,) = read_tokens(files.pop())
    assert (files, token.name) == (set(), "prometheus")
    secret = (shown / "prometheus.token").read_text()
    run("compose/found.sh", MESH=str(mesh), SHOWN=str(shown))
    assert (shown / "prometheus.token").read_text() == secret


def test_kubernetes_gets_a_folder_for_each_pod_by_its_number(tmp_path: Path) -> None:
    told = run("kubernetes/found.sh", str(tmp_path / "f"), "4", "mesh", "prod")
    for number in (1, 2, 3, 4):
        place = tmp_path / f"pod{number}"
        with tarfile.open(tmp_path / "f" / f"{number}.tar") as packed:
            packed.extractall(place, filter="data")
        config = load_config(place)
        assert config.transport.advertise == f"mesh-{number}.mesh.prod.svc:4400"
        assert config.http.behind_proxy
        assert Places(place).key.stat().st_mode & 0o777 == 0o600
        assert f"--from-file={tmp_path}/f/{number}.tar" in told
    assert "helm --namespace prod install mesh deploy/chart --set members.count=4" in told
