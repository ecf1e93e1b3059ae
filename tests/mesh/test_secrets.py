"""Nothing that is secret gets into what a daemon writes for people: its log, its audit trail."""

import base64
import http.client
import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.adapters.keys import change_passphrase
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import CLUSTER_INVITE
from ambientd.api.requests import Invite
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.api.webhook_signing import make_secret
from ambientd.config.places import Places
from tests.fuzz.rest import switch_on
from tests.mesh.cluster import Cluster
from tests.own_ports import own_port

pytestmark = [pytest.mark.slow, pytest.mark.mesh]
PASSPHRASE = "correct horse battery"
INPUT = b"what the submitter keeps to itself"
PATH = "services/T0/whoever-knows-this-posts-here"  # of addresses that are secrets themselves


def forms(secret: bytes) -> set[bytes]:
    """Give a secret as it may be written."""
    coded = base64.b64encode(secret).rstrip(b"=")
    plain = base64.urlsafe_b64encode(secret).rstrip(b"=")
    return {secret, secret.hex().encode(), repr(secret)[2:-1].encode(), coded, plain}


def ask(port: int, words: str, query: str = "") -> int:
    """Ask over HTTP with a token."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    told = {"Authorization": f"Bearer {words}"}
    connection.request("GET", f"{BASE_PATH}/status{query}", None, told)
    status = connection.getresponse().status
    connection.close()
    return status


def test_keys_passphrases_tokens_and_inputs_are_in_no_log(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))
    [daemon] = cluster.daemons
    places, words = Places(daemon.data_dir), tmp_path / "words"
    seed = places.key.read_bytes()
    change_passphrase(places.key, "", PASSPHRASE)
    words.write_text(f"{PASSPHRASE}\n")
    words.chmod(0o600)
    port = own_port() + 11
    switch_on(daemon.data_dir, port)
    signing = make_secret(places.http_file("webhook.secret"))
    nobody = f'url = "http://127.0.0.1:1/{PATH}"'
    text = places.config.read_text("utf-8")
    for section in ("webhook", "traces"):
        text = text.replace(f"[{section}]\n", f"[{section}]\n{nobody}\n", 1)
    places.config.write_text(text, "utf-8")
    token = create_token(places.http_file("http.tokens"), "one", Scope.ADMIN, 0, 0)[1]
    forged = token[:-8] + "00000000"
    command = [sys.executable, "-m", "ambientd.daemon", "--verbose"]
    options = ["--data-dir", str(daemon.data_dir), "--passphrase-file", str(words)]
    log_file = daemon.data_dir / "log"
    with log_file.open("ab") as log:
        daemon.process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    try:
        cluster.until(daemon.status, "it is there")
        assert [ask(port, each) for each in (token, forged)] == [200, 401]
        assert ask(port, token, f"?token={token}") == 400  # where tokens do not belong
        invited = daemon.ask(CLUSTER_INVITE, Invite(expires_in_ms=60_000)).token
        ctl = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir)]
        module = "examples/noop/noop.wasm"
        asked = [*ctl, "run", module, "--input", "-", "--assurance", "none", "--yes"]
        done = subprocess.run(asked, input=INPUT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        for told in (b"webhook not delivered", b"traces not exported"):
            cluster.until(lambda told=told: told in log_file.read_bytes(), str(told))
    finally:
        daemon.stop()
    secrets = {
        "the key": forms(seed),
        "the passphrase": forms(PASSPHRASE.encode()),
        "a token": forms(token.encode()) | {token.rpartition("_")[2].encode()},
        "a forged token": forms(forged.encode()),
        "an invitation": forms(invited.encode()),
        "an input": forms(INPUT),
        "what signs webhooks": forms(signing.encode()) | forms(signing.partition("_")[2].encode()),
        "the path of an address": {PATH.rpartition("/")[2].encode()},
    }
    written = [log_file, *(path for path in places.trail.rglob("*"))]
    texts = {path: path.read_bytes() for path in written if path.is_file()}
    assert b"ready" in texts[log_file]
    assert len(texts) > 1, "the audit trail is written"
    for what, ways in secrets.items():
        found = [path.name for path, text in texts.items() if any(way in text for way in ways)]
        assert not found, f"{what} is in {found}"
