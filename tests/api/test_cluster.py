"""Founding clusters, inviting, and writing the folder of a node that joins."""

import socket
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.keys import load_key
from ambientd.api.cluster import (
    BASE_PORT,
    ClusterPlan,
    JoinPlan,
    create_cluster,
    host_name,
    join_cluster,
    liars_max,
    warnings_of,
)
from ambientd.api.genesis_files import load_genesis, write_genesis
from ambientd.api.invitation import (
    JoinToken,
    check_addresses,
    make_join,
    make_token,
    read_token,
    stays_on_this_machine,
)
from ambientd.api.own_ports import free_ports
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer, verify
from ambientd.codec.statements import fingerprint, grant_payload, join_payload
from ambientd.config.load import load_config
from ambientd.config.node_options import NodeOptions
from ambientd.config.options import ChainKind, Lie
from ambientd.config.places import Places
from ambientd.consensus import beacon
from ambientd.errors import ConfigError, UsageError
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import KNOWN_VERSION
from ambientd.model.base import NodeId
from ambientd.model.genesis import Label, NodeKind, Profile
from ambientd.node.build import beacon_secret
from ambientd.rules.peg_networks import MAIN_SAT_DEFAULT, NOT_AUDITED, UNAUDITED, peg_fault
from tests.missing import missing
from tests.own_ports import own_port

PLAN = ClusterPlan(created_ms=1_000, base_port=21_000)


def on_main(**changes: object) -> ClusterPlan:
    plan = msgspec.structs.replace(PLAN, bitcoin="rpc", bitcoin_network="main")
    return msgspec.structs.replace(plan, **changes)


def token_of(root: Path, expires_ms: int = 10_000, host: str = "127.0.0.1") -> str:
    founded = create_cluster(root, 1, PLAN)
    places = Places(founded.nodes[0].data_dir)
    signer = Signer(load_key(places.key), founded.fingerprint)
    address = f"{signer.public_key.hex()}@{host}:4400"
    return make_token(load_genesis(places.genesis), signer, (address,), bytes(32), expires_ms)


def test_nodes_on_machines_of_their_own_are_dialled_there_at_the_same_port(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, host="ambient-{}.mesh", bitcoin="off")
    founded = create_cluster(tmp_path / "c", 3, plan)
    configs = [load_config(node.data_dir) for node in founded.nodes]
    hosts = [config.transport.advertise for config in configs]
    assert hosts == ["ambient-1.mesh:21000", "ambient-2.mesh:21000", "ambient-3.mesh:21000"]
    assert {config.transport.listen for config in configs} == {"0.0.0.0:21000"}
    assert [f"{peer.host}:{peer.port}" for peer in configs[1].bootstrap_peers()] == hosts[::2]


def test_machines_of_their_own_share_no_embedded_chain(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="embedded chain is of one machine"):
        create_cluster(tmp_path / "c", 3, msgspec.structs.replace(PLAN, host="ambient-{}"))


def test_every_node_gets_key_config_and_the_same_genesis(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path / "c", 4, PLAN)
    genesis = [load_genesis(Places(node.data_dir).genesis) for node in founded.nodes]
    assert len({encode(one) for one in genesis}) == 1
    assert fingerprint(genesis[0]) == founded.fingerprint
    assert genesis[0].created_ms == 1_000
    for node, member in zip(founded.nodes, genesis[0].members, strict=True):
        places = Places(node.data_dir)
        seed = load_key(places.key)
        assert Signer(seed, b"").public_key == node.node == member.node
        assert member.beacon_tip == beacon.tip(beacon_secret(seed))
        assert member.grant_msat > 0 < member.bond_msat
        assert stat.S_IMODE(node.data_dir.stat().st_mode) == 0o700
        readable = msgspec.json.decode(places.genesis_json.read_bytes())
        assert readable["fingerprint"] == founded.fingerprint.hex()
        assert readable["members"][0]["profile"]["kind"] == "compute"


def test_a_cluster_begins_in_the_newest_state_version_or_an_earlier_one_as_its_founder_says(
    tmp_path: Path,
) -> None:
    for name, plan, version in (
        ("newest", PLAN, KNOWN_VERSION),
        ("earlier", msgspec.structs.replace(PLAN, state_version=1), 1),
    ):
        places = Places(create_cluster(tmp_path / name, 1, plan).nodes[0].data_dir)
        genesis = load_genesis(places.genesis)
        assert genesis.state_version == version
        assert LedgerState.from_genesis(genesis).version == version
        assert msgspec.json.decode(places.genesis_json.read_bytes())["state_version"] == version


def test_a_cluster_of_a_state_version_that_is_not_known_is_neither_started_nor_joined(
    tmp_path: Path,
) -> None:
    founded = create_cluster(tmp_path / "c", 1, PLAN)
    places = Places(founded.nodes[0].data_dir)
    later = msgspec.structs.replace(load_genesis(places.genesis), state_version=KNOWN_VERSION + 1)
    write_genesis(places, later)
    wanted = f"state version {KNOWN_VERSION + 1}, this program knows {KNOWN_VERSION}: update it"
    with pytest.raises(ConfigError, match=wanted):
        load_genesis(places.genesis)
    signer = Signer(load_key(places.key), fingerprint(later))
    address = f"{signer.public_key.hex()}@127.0.0.1:4400"
    with pytest.raises(UsageError, match=wanted):
        read_token(make_token(later, signer, (address,), bytes(32), 10_000))


def test_every_config_bootstraps_to_all_others(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path, 3, PLAN)
    configs = [load_config(node.data_dir) for node in founded.nodes]
    listening = {
        node.node: config.listen_address()
        for node, config in zip(founded.nodes, configs, strict=True)
    }
    assert len(set(listening.values())) == 3
    for node, config in zip(founded.nodes, configs, strict=True):
        peers = {peer.node: (peer.host, peer.port) for peer in config.bootstrap_peers()}
        assert peers == {other: at for other, at in listening.items() if other != node.node}


def test_a_server_and_its_network_reach_every_node(tmp_path: Path) -> None:
    url = "https://esplora.example/signet/api"
    plan = ClusterPlan(bitcoin="esplora", bitcoin_network="signet", bitcoin_url=url)
    for node in create_cluster(tmp_path / "c", 2, plan).nodes:
        chosen = load_config(node.data_dir).bitcoin
        assert (chosen.chain, chosen.esplora_url) == (ChainKind.ESPLORA, url)
        assert load_genesis(Places(node.data_dir).genesis).bitcoin_network == "signet"


@pytest.mark.parametrize(
    ("network", "port"),
    [("main", 8332), ("testnet4", 48332), ("signet", 38332), ("regtest", 18443)],
)
def test_a_node_is_looked_for_where_it_answers_on_its_network(
    tmp_path: Path, network: str, port: int
) -> None:
    plan = ClusterPlan(bitcoin="rpc", bitcoin_network=network)
    [node] = create_cluster(tmp_path / "c", 1, plan).nodes
    assert load_config(node.data_dir).bitcoin.rpc_url == f"http://127.0.0.1:{port}"


def test_all_nodes_share_one_embedded_chain(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path, 2, PLAN)
    folders = {
        Places(node.data_dir).embedded_chain(load_config(node.data_dir).bitcoin.embedded_dir)
        for node in founded.nodes
    }
    assert folders == {tmp_path / "chain"}


def test_who_founds_a_peg_grants_nothing(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path, 2, msgspec.structs.replace(PLAN, peg=True))
    members = load_genesis(founded.nodes[0].data_dir / "genesis.bin").members
    assert {(each.grant_msat, each.bond_msat) for each in members} == {(0, 0)}


def test_anchors_alone_go_to_the_main_network_without_a_peg(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path, 2, on_main())
    genesis = load_genesis(founded.nodes[0].data_dir / "genesis.bin")
    assert (genesis.bitcoin_network, genesis.rules.peg_acknowledged) == ("main", "")
    assert "not audited" in str(peg_fault(genesis))
    assert "REAL BITCOIN" in warnings_of(on_main())[0]
    assert warnings_of(PLAN) == ()


@pytest.mark.parametrize(("most_sat", "held_sat"), [(0, MAIN_SAT_DEFAULT), (50_000, 50_000)])
def test_a_peg_on_the_main_network_says_in_the_genesis_what_its_founders_know(
    tmp_path: Path, most_sat: int, held_sat: int
) -> None:
    plan = on_main(peg=True, accepts_unaudited_peg=True, peg_sat_max=most_sat)
    rules = load_genesis(create_cluster(tmp_path, 2, plan).nodes[0].data_dir / "genesis.bin").rules
    assert (rules.peg_acknowledged, rules.peg_sat_max) == (NOT_AUDITED, held_sat)
    assert len(warnings_of(plan)) == 1 + len(UNAUDITED)
    assert all(f"at most {held_sat} sat" in each for each in warnings_of(plan)[1:])


def test_liars_are_the_last_nodes(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path, 4, msgspec.structs.replace(PLAN, liars=1))
    lies = [load_config(node.data_dir).faults.lie for node in founded.nodes]
    assert lies == [Lie.NONE, Lie.NONE, Lie.NONE, Lie.CORRUPT_OUTPUT]
    assert [node.lies for node in founded.nodes] == [False, False, False, True]


@pytest.mark.parametrize(("members", "liars"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2), (10, 3)])
def test_a_third_of_the_others_may_lie(members: int, liars: int) -> None:
    assert liars_max(members) == liars


@pytest.mark.parametrize(
    ("members", "plan", "words"),
    [
        (0, PLAN, "1 to 64 members"),
        (65, PLAN, "1 to 64 members"),
        (4, ClusterPlan(liars=2), "fewer liars"),
        (4, ClusterPlan(bitcoin="core"), "embedded, rpc, esplora, off"),
        (4, ClusterPlan(bitcoin="esplora"), "give --bitcoin-url URL"),
        (4, ClusterPlan(bitcoin="esplora", bitcoin_url="x"), "the Bitcoin server: the address"),
        (4, ClusterPlan(bitcoin="rpc", bitcoin_network="mainnet"), "is not one of main, regtest"),
        (4, ClusterPlan(bitcoin_network="main"), "takes no address and no network"),
        (4, on_main(peg=True), "WAS NOT AUDITED"),
        (4, on_main(accepts_unaudited_peg=True), "for a peg on the main network alone"),
        (4, ClusterPlan(peg=True, accepts_unaudited_peg=True), "on the main network alone"),
        (4, on_main(peg_sat_max=10_000), "bounds a peg"),
        (
            4,
            on_main(peg=True, accepts_unaudited_peg=True, peg_sat_max=10_000_001),
            "at most 10000000 sat",
        ),
        (4, ClusterPlan(peg=True, peg_sat_max=19_999), "20000 sat or more"),
        (4, ClusterPlan(bitcoin="off", bitcoin_url="http://h"), "takes no address"),
        (4, ClusterPlan(bitcoin_network="signet"), "takes no address and no network"),
        (4, ClusterPlan(base_port=65_534), "do not exist"),
        (4, ClusterPlan(base_port=0), "do not exist"),
        (4, ClusterPlan(bitcoin="off", peg=True), "a peg needs a Bitcoin chain"),
        (21, ClusterPlan(peg=True), "a peg has at most 20 members"),
        (4, ClusterPlan(state_version=KNOWN_VERSION + 1), "--state-version: .* update it"),
        (4, ClusterPlan(state_version=0), "--state-version: .* too old"),
    ],
)
def test_a_plan_that_makes_no_sense_writes_nothing(
    tmp_path: Path, members: int, plan: ClusterPlan, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        create_cluster(tmp_path / "c", members, plan)
    assert not (tmp_path / "c").exists()


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigError, match="not empty"):
        create_cluster(tmp_path, 1, PLAN)
    with pytest.raises(ConfigError, match="cannot be used"):
        create_cluster(tmp_path / "precious", 1, PLAN)


def test_a_name_is_advertised_while_every_address_is_listened_on(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, host="attic.local")
    first, second = create_cluster(tmp_path, 2, plan).nodes
    config = load_config(first.data_dir)
    assert config.listen_address()[0] == "0.0.0.0"
    assert config.transport.advertise == f"attic.local:{config.listen_address()[1]}"
    (peer,) = config.bootstrap_peers()
    assert (peer.node, peer.host) == (second.node, "attic.local")


def test_an_address_is_listened_on_itself(tmp_path: Path) -> None:
    (node,) = create_cluster(tmp_path, 1, msgspec.structs.replace(PLAN, host="127.0.0.2")).nodes
    config = load_config(node.data_dir)
    assert config.listen_address()[0] == "127.0.0.2"
    assert config.transport.advertise == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "a b", "host:44", "[::1]"])
def test_a_host_that_nobody_can_dial_founds_nothing(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError):
        create_cluster(tmp_path / "c", 1, msgspec.structs.replace(PLAN, host=host))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("_Attic's box.example.org", "Attic-s-box"),
        ("localhost.localdomain", "node-4407"),
        ("", "node-4407"),
        ("x" * 200, "x" * 63),
    ],
)
def test_a_newcomer_is_called_as_its_host(
    monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert host_name(4407) == name
    assert NodeOptions(name=name).profile.name == name


@pytest.mark.parametrize(
    ("named", "listens"),
    [("192.0.2.7", "0.0.0.0"), ("attic.example", "0.0.0.0"), ("127.0.0.1", "127.0.0.1")],
)
def test_a_newcomer_listens_as_far_as_its_token_reaches_unless_told_otherwise(
    tmp_path: Path, named: str, listens: str
) -> None:
    text = token_of(tmp_path / "c", host=named)
    node = join_cluster(tmp_path / "n", read_token(text), text, JoinPlan(now_ms=5))
    host, port = load_config(node.data_dir).listen_address()
    assert host == listens
    assert port >= BASE_PORT
    chosen = JoinPlan(now_ms=5, listen="127.0.0.1:4999")
    node = join_cluster(tmp_path / "m", read_token(text), text, chosen)
    assert load_config(node.data_dir).listen_address() == ("127.0.0.1", 4999)


def test_two_clusters_founded_one_after_the_other_do_not_draw_the_same_ports(
    tmp_path: Path,
) -> None:
    plan = ClusterPlan(base_port=own_port(), bitcoin="off")
    ports: list[int] = []
    for name in ("one", "other"):  # neither is started in between
        founded = create_cluster(tmp_path / name, 2, plan)
        ports += [load_config(node.data_dir).listen_address()[1] for node in founded.nodes]
    assert len(set(ports)) == 4


def test_two_that_join_one_after_the_other_do_not_draw_the_same_port(tmp_path: Path) -> None:
    text = token_of(tmp_path / "c")
    folders = [tmp_path / name for name in ("n", "m")]  # neither is started in between
    for folder in folders:
        join_cluster(folder, read_token(text), text, JoinPlan(now_ms=5))
    first, second = (load_config(folder).listen_address()[1] for folder in folders)
    assert BASE_PORT <= first < second


def test_a_node_that_names_no_address_to_dial_invites_nobody() -> None:
    node = "ab" * 32
    with pytest.raises(ConfigError, match=r"advertise = \"HOST:4400\" into its config"):
        check_addresses((f"{node}@0.0.0.0:4400", f"{node}@192.0.2.7:4400"))
    check_addresses((f"{node}@192.0.2.7:4400",))
    assert stays_on_this_machine((f"{node}@127.0.0.1:1", f"{node}@[::1]:2"))
    assert not stays_on_this_machine((f"{node}@127.0.0.1:1", f"{node}@192.0.2.7:2"))


@pytest.mark.net
def test_ports_that_are_taken_are_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        if port > 65_000:
            missing("no room above")
        assert port not in free_ports(port, 2)
    with pytest.raises(ConfigError, match="fewer than 9"):
        free_ports(65_530, 9)


def test_a_damaged_genesis_is_named(tmp_path: Path) -> None:
    path = tmp_path / "genesis.bin"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_genesis(path)
    path.write_bytes(b"\x90")
    with pytest.raises(ConfigError, match="is damaged"):
        load_genesis(path)


def test_a_token_carries_all_that_a_node_needs(tmp_path: Path) -> None:
    text = token_of(tmp_path / "c")
    token = read_token(f"\n {text[:40]}\n{text[40:]} \n")
    node = join_cluster(tmp_path / "n", token, text, JoinPlan(now_ms=5, name="attic", kind="edge"))
    places = Places(node.data_dir)
    config = load_config(node.data_dir)
    assert load_genesis(places.genesis) == token.genesis
    assert Signer(load_key(places.key), b"").public_key == node.node
    assert config.transport.bootstrap == token.addresses
    assert config.node.kind is NodeKind.EDGE
    assert config.listen_address()[1] >= BASE_PORT
    assert read_token(places.invitation.read_text()) == token
    assert stat.S_IMODE(places.invitation.stat().st_mode) == 0o600


def test_a_join_record_is_granted_and_signed(tmp_path: Path) -> None:
    token = read_token(token_of(tmp_path))
    cluster = fingerprint(token.genesis)
    profile = Profile(name="attic", region="local", kind=NodeKind.EDGE)
    join = make_join(token, NodeId(bytes(32)), profile)
    grant = grant_payload(join.invite_key, join.expires_ms)
    assert verify(join.inviter, "invite", cluster, grant, join.grant_signature)
    assert verify(join.invite_key, "join", cluster, join_payload(join), join.invite_signature)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 2"),
        ({"expires_ms": 11_000}, "not signed by its inviter"),
        ({"invite_seed": bytes([1]) * 32}, "not signed by its inviter"),
        ({"invite_seed": b""}, "malformed key"),
        ({"inviter": b"x"}, "malformed key"),
        ({"addresses": ()}, "no address"),
        ({"addresses": ("x",)}, "malformed address"),
    ],
)
def test_a_changed_token_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    import base64

    token = msgspec.structs.replace(read_token(token_of(tmp_path)), **change)
    text = base64.urlsafe_b64encode(encode(token)).decode()
    with pytest.raises(UsageError, match=words):
        read_token(text)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.hex()))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    with pytest.raises(UsageError):
        read_token(text)


def test_a_token_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="at most"):
        read_token("A" * 70_000)


def test_nothing_is_written_for_a_join_that_cannot_be(tmp_path: Path) -> None:
    text = token_of(tmp_path / "c", expires_ms=10)
    token: JoinToken = read_token(text)
    folder = tmp_path / "n"
    with pytest.raises(UsageError, match="expired"):
        join_cluster(folder, token, text, JoinPlan())
    for plan in (JoinPlan(now_ms=5, listen="nowhere"), JoinPlan(now_ms=5, name="a b")):
        with pytest.raises(ConfigError):
            join_cluster(folder, token, text, plan)
    assert not folder.exists()
    (tmp_path / "c" / "x").touch()
    with pytest.raises(ConfigError, match="not empty"):
        join_cluster(tmp_path / "c", token, text, JoinPlan(now_ms=5))


def test_what_an_owner_says_of_a_device_is_in_its_profile(tmp_path: Path) -> None:
    text = token_of(tmp_path / "c", expires_ms=10)
    plan = JoinPlan(now_ms=5, owner="ada", labels=("disk=ssd",), refuses=("media",))
    join_cluster(tmp_path / "n", read_token(text), text, plan)
    profile = load_config(tmp_path / "n").node.profile
    assert (profile.owner, profile.refuses) == ("ada", ("media",))
    assert profile.labels == (Label(key="disk", value="ssd"),)


@pytest.mark.parametrize("labels", [("Disk=ssd",), ("owner=eve",), ("disk=ssd", "disk=hdd")])
def test_labels_that_no_node_can_have_are_refused_before_anything_is_written(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    text = token_of(tmp_path / "c", expires_ms=10)
    with pytest.raises(UsageError, match="label"):
        join_cluster(tmp_path / "n", read_token(text), text, JoinPlan(now_ms=5, labels=labels))
    assert not (tmp_path / "n").exists()


def test_what_a_founder_says_of_its_nodes_is_in_config_and_genesis(tmp_path: Path) -> None:
    said = {"owner": "ada", "labels": ("disk=ssd",), "refuses": ("media",)}
    founded = create_cluster(tmp_path / "c", 2, msgspec.structs.replace(PLAN, **said))
    genesis = load_genesis(Places(founded.nodes[0].data_dir).genesis)
    for node, member in zip(founded.nodes, genesis.members, strict=True):
        assert load_config(node.data_dir).node.profile == member.profile
        assert (member.profile.owner, member.profile.refuses) == ("ada", ("media",))
        assert member.profile.labels == (Label(key="disk", value="ssd"),)


@pytest.mark.parametrize(
    ("said", "error"), [({"labels": ("owner=eve",)}, UsageError), ({"owner": "a b"}, ConfigError)]
)
def test_nothing_is_founded_of_nodes_that_cannot_be(
    tmp_path: Path, said: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        create_cluster(tmp_path / "c", 2, msgspec.structs.replace(PLAN, **said))
    assert not (tmp_path / "c").exists()
