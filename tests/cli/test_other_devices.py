"""Clusters that are dialled at an address of their own: founded, advertised, joined, refused."""

from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.invitation import read_token
from ambientd.api.operations import CLUSTER_INVITE, NODES, OperationError
from ambientd.api.requests import Invite, ListNodes
from ambientd.config.load import load_config
from ambientd.config.places import Places
from tests.cli.conftest import Ctl
from tests.mesh.cluster import Cluster, Daemon

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]


def test_a_newcomer_comes_in_at_the_address_that_was_chosen(ctl: Ctl, tmp_path: Path) -> None:
    plan = ClusterPlan(bitcoin="off", host="127.0.0.2")
    cluster = Cluster(tmp_path / "mesh", 2, plan)
    newcomer = Daemon(tmp_path / "attic")
    try:
        cluster.start()
        code, token, _ = ctl("cluster", "invite", "--data-dir", cluster.daemons[0].data_dir)
        assert code == 0
        hosts = {address.partition("@")[2] for address in read_token(token).addresses}
        assert {host.partition(":")[0] for host in hosts} == {"127.0.0.2"}
        assert ctl("join", token.strip(), "--data-dir", newcomer.data_dir)[0] == 0
        assert load_config(newcomer.data_dir).listen_address()[0] == "127.0.0.1"
        newcomer.move()
        newcomer.start()
        cluster.until(
            lambda: len(cluster.daemons[1].ask(NODES, ListNodes()).nodes) == 3,
            "the newcomer is in",
        )
    finally:
        newcomer.stop()
        cluster.stop()


def test_an_invitation_names_what_is_advertised_and_never_a_wildcard(tmp_path: Path) -> None:
    plan = ClusterPlan(bitcoin="off", host="attic.example")
    cluster = Cluster(tmp_path / "mesh", 1, plan)
    (daemon,) = cluster.daemons
    try:
        cluster.start()
        invitation = daemon.ask(CLUSTER_INVITE, Invite())
        port = load_config(daemon.data_dir).listen_address()[1]
        (address,) = invitation.addresses
        assert address.endswith(f"@attic.example:{port}")
        assert not invitation.loopback
        daemon.stop()
        config = Places(daemon.data_dir).config
        text = config.read_text()
        config.write_text(text.replace("\nadvertise = ", "\n# advertise = "))
        cluster.start()
        with pytest.raises(OperationError, match=r"\[transport\] advertise"):
            daemon.ask(CLUSTER_INVITE, Invite())
    finally:
        cluster.stop()
