"""The scripts that found clusters for containers write folders that a node starts with."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ambientd.api.invitation import make_token
from ambientd.api.tokens import read_tokens
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.config.load import load_config
from ambientd.config.places import Places
from tests.deploy.chart import run_script, script_of, take_folder
from tests.runtime.support import found_cluster

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


def test_who_is_in_the_network_of_another_service_is_restarted_with_it() -> None:
    text = (DEPLOY / "compose/compose.yml").read_text("utf-8")
    sharing = re.findall(
        r"^( *)network_mode: service:wire\n(?:\1.*\n)*?\1depends_on:\n((?:\1 .*\n)+)",
        text,
        re.MULTILINE,
    )
    assert len(sharing) == text.count("network_mode: service:") == 2  # every node, and Prometheus
    for _, waits in sharing:
        assert re.search(
            r"^ +wire: \{ condition: service_started, restart: true \}$", waits, re.MULTILINE
        )
        assert "found: { condition: service_completed_successfully }" in waits


def test_what_starts_an_embedded_chain_has_a_first_process_that_buries_it() -> None:
    text = (DEPLOY / "compose/compose.yml").read_text("utf-8")
    node = text.partition("\nx-node: &node\n")[2].partition("\n\n")[0]
    assert "\n  init: true\n" in node
    nodes = re.findall(r"^  (node\d):\n    <<: \*node\n(?:    .*\n)*", text, re.MULTILINE)
    assert nodes == ["node1", "node2", "node3", "node4"]
    assert text.count("init: ") == 2  # and `wire`


def test_a_founding_that_was_cut_off_begins_anew_and_touches_no_node(tmp_path: Path) -> None:
    mesh, shown = tmp_path / "mesh", tmp_path / "shown"
    shown.mkdir()
    (mesh / "draft/node1").mkdir(parents=True)
    (mesh / "draft/node1/node.key").write_bytes(b"half a k")
    run("compose/found.sh", MESH=str(mesh), SHOWN=str(shown))
    keys = {number: Places(mesh / f"node{number}").key.read_bytes() for number in (1, 2, 3, 4)}
    assert load_config(mesh / "node4").http.enabled
    assert sorted(each.name for each in mesh.iterdir() if each.is_dir()) == [
        f"node{number}" for number in (1, 2, 3, 4)
    ]
    # Cut off among the last steps: what was whole by then is what is used.
    (mesh / "whole").mkdir()
    for number in (3, 4):
        (mesh / f"node{number}").rename(mesh / f"whole/node{number}")
    run("compose/found.sh", MESH=str(mesh), SHOWN=str(shown))
    assert {n: Places(mesh / f"node{n}").key.read_bytes() for n in keys} == keys
    assert not (mesh / "whole").exists()


def test_a_member_takes_its_folder_whole_or_not_at_all(tmp_path: Path) -> None:
    run("kubernetes/found.sh", str(tmp_path / "f"), "4", "mesh", "prod")
    volume, packed = tmp_path / "volume", tmp_path / "f/2.tar"
    volume.mkdir()
    whole = packed.read_bytes()
    key = Places(tmp_path / "f/node2").key.read_bytes()
    packed.write_bytes(whole[: whole.index(key) + len(key)])  # the key is there, and no more
    assert take_folder(volume, tmp_path / "f", 2).returncode != 0
    assert not (volume / "node").exists()
    packed.write_bytes(whole)
    assert take_folder(volume, tmp_path / "f", 2).returncode == 0
    places = Places(volume / "node")
    assert (places.key.read_bytes(), places.key.stat().st_mode & 0o777) == (key, 0o600)
    assert [each.name for each in volume.iterdir()] == ["node"]
    (volume / "node/node.db").write_bytes(b"what it has voted for")
    assert take_folder(volume, tmp_path / "f", 2).returncode == 0
    assert (volume / "node/node.db").read_bytes() == b"what it has voted for"
    (tmp_path / "other").mkdir()
    packed.unlink()
    refused = take_folder(tmp_path / "other", tmp_path / "f", 2)
    assert refused.returncode == 1
    assert "A member's disk is lost" in refused.stderr
    playbooks = (DEPLOY.parent / "docs/tutorials/playbooks.md").read_text(encoding="utf-8")
    assert "\n## A member's disk is lost\n" in playbooks


def test_names_are_asked_of_the_clusters_dns_and_the_machines_own_cache_and_of_nobody_else() -> (
    None
):
    manifests = (DEPLOY / "kubernetes/ambient.yaml").read_text("utf-8")
    policy = manifests.partition("\nkind: NetworkPolicy\n")[2].partition("\n---\n")[0]
    rules = policy.partition("\n  egress:\n")[2].split("    - to:\n")[1:]
    dns = [rule for rule in rules if "port: 53 }" in rule]
    assert len(rules) == 2
    told = [line.strip() for line in "".join(dns).splitlines()]
    assert told == [
        "- namespaceSelector:",
        "matchLabels: { kubernetes.io/metadata.name: kube-system }",
        "podSelector:",
        "matchLabels:",
        "k8s-app: kube-dns",
        '- ipBlock: { cidr: "169.254.20.10/32" }',
        "ports: [{ protocol: UDP, port: 53 }, { protocol: TCP, port: 53 }]",
    ]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_worker_joins_into_a_folder_that_is_whole_or_not_there(tmp_path: Path, kind: str) -> None:
    genesis, seed = found_cluster(tmp_path / "c")
    signer = Signer(seed, fingerprint(genesis))
    address = f"{signer.public_key.hex()}@127.0.0.1:4400"
    token = make_token(genesis, signer, (address,), bytes(32), expires_ms=2**50)
    invitations, volume = tmp_path / "i", tmp_path / "volume"
    invitations.mkdir()
    (volume / "node.draft").mkdir(parents=True)
    (volume / "node.draft/node.key").write_bytes(b"of a start that was cut off")
    before, one, other, after = re.split(
        r" *{{- (?:if .*|else|end) }}\n", script_of("workers.yaml", "join")
    )
    words = before + (one if kind == "StatefulSet" else other) + after
    for found, put in (("{{ .Values.ports.mesh }}", "4400"), ("$MACHINE", "edge-7")):
        words = words.replace(found, put)
    words = words.replace("/invitations/", f"{invitations}/")
    assert run_script(words, volume, "ambient-worker-3").returncode != 0
    assert not (volume / "node").exists()
    (invitations / ("3.token" if kind == "StatefulSet" else "edge-7.token")).write_text(token)
    done = run_script(words, volume, "ambient-worker-3")
    assert done.returncode == 0, done.stderr
    assert Places(volume / "node").invitation.exists()
    assert [each.name for each in volume.iterdir()] == ["node"]


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
