"""Founding a cluster on this machine, and writing the folder of a node that joins one."""

import ipaddress
import re
import socket
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ambientd.adapters.keys import create_key
from ambientd.adapters.system_clock import SystemClock
from ambientd.api.genesis_files import write_genesis
from ambientd.api.invitation import JoinToken, stays_on_this_machine
from ambientd.api.own_ports import LISTEN_HOST, WILDCARD_HOST, port_beside, ports_beside
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.config.options import (
    Bootstrap,
    Config,
    check_dialable,
    is_loopback,
    join_address,
    split_address,
)
from ambientd.config.places import Places
from ambientd.config.template import render_config
from ambientd.config.urls import parse_url
from ambientd.consensus import beacon
from ambientd.errors import ConfigError, StoreError, UsageError
from ambientd.ledger.versions import KNOWN_VERSION, VERSIONS
from ambientd.model.base import NodeId
from ambientd.model.genesis import Genesis, Member, NodeKind, Profile, Rules
from ambientd.node.build import beacon_secret
from ambientd.rules import peg_networks
from ambientd.rules.bitcoin import AMOUNT_MAX_SAT, NETWORKS
from ambientd.rules.labels import profile_fault
from ambientd.rules.peg_script import SIGNERS_MAX
from ambientd.rules.verdicts import liars_max

MEMBERS_MAX = 64
BASE_PORT = 4400
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# One Mgas costs 1 msat at least, so 1 000 000 satoshi pay for 1 Pgas.
GRANT_MSAT = 1_000_000_000
BOND_MSAT = 100_000_000


NUMBER = "{}"
"""Stands in a host for the number of the node."""
CHAINS = ("embedded", "rpc", "esplora", "off")
RPC_PORTS = {"main": 8332, "testnet4": 48332, "signet": 38332, "regtest": 18443}
"""Where Bitcoin Core answers on each network, if nobody chose another port."""
ACCEPT = "--accept-unaudited-mainnet-peg"


class ClusterPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a founder decides beside the number of members; the rest follows."""

    created_ms: int | None = None
    name: str = "ambient"
    host: str = LISTEN_HOST
    base_port: int = BASE_PORT
    bitcoin: str = "embedded"
    bitcoin_network: str = "regtest"
    bitcoin_url: str = ""
    block_interval_ms: int = 1_000
    regions: tuple[str, ...] = ("local",)
    owner: str = ""
    labels: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    """What every founder says of itself; `join` says it for those who come later."""
    rules: Rules = Rules()
    liars: int = 0
    peg: bool = False
    """Nobody is granted anything: all credits come in as bitcoin (protocols/14)."""
    peg_sat_max: int = 0
    """The most that the peg holds; 0: no bound, but on the main network a small one."""
    accepts_unaudited_peg: bool = False
    """On the main network: the founder knows what nobody has audited."""
    state_version: int = KNOWN_VERSION
    """What the log begins in: the newest, where the programs of all founders know it."""
    options: dict[str, dict[str, object]] = {}
    """More options of each founder's config.toml, by section."""

    @property
    def is_spread(self) -> bool:
        """Tell whether each node has a machine of its own, by a {} in the host."""
        return NUMBER in self.host

    def host_of(self, number: int) -> str:
        """Give where the node of this number, from 1 up, is dialled."""
        return self.host.replace(NUMBER, str(number))


class FoundedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node folder that was written."""

    node: NodeId
    name: str
    data_dir: Path
    listen: str
    lies: bool


class Founded(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster that was written."""

    fingerprint: bytes
    name: str
    nodes: tuple[FoundedNode, ...]


def create_cluster(root: Path, members: int, plan: ClusterPlan | None = None) -> Founded:
    """Write node1 … nodeN below `root`: key, config, genesis. Existing files are never touched.

    Raises:
        UsageError: the plan makes no sense.
        ConfigError: the folder is not empty, or the host or its ports cannot be had.
        StoreError: the disk refuses.
    """
    plan = plan if plan is not None else ClusterPlan()
    _check_plan(members, plan)
    _profile_of(_said_of("node1", plan.regions[0], plan))
    if plan.is_spread:  # of other machines: nothing is known of their ports
        return _claim_and_write(root, plan, [plan.base_port] * members)
    with ports_beside(root, plan.base_port, members, _listen_host(plan.host)) as ports:
        return _claim_and_write(root, plan, ports)


def _claim_and_write(root: Path, plan: ClusterPlan, ports: list[int]) -> Founded:
    _claim(root)
    names = [f"node{number}" for number in range(1, len(ports) + 1)]
    try:
        return _write_cluster(root, plan, names, ports)
    except OSError as error:
        msg = f"{error.filename or root}: cannot be written: {error.strerror}; free space or move"
        raise StoreError(msg) from error


def warnings_of(plan: ClusterPlan) -> tuple[str, ...]:
    """Say what the founder of a cluster on the main network must know."""
    if plan.bitcoin_network != peg_networks.MAIN:
        return ()
    anchors = (
        "anchors are paid with REAL BITCOIN by a key on each member's machine, which nobody has "
        "audited: send it little, and bound fee_sat_a_day_max in [bitcoin]"
    )
    if not plan.peg:
        return (anchors,)
    most_sat = _rules(plan).peg_sat_max
    peg = f"the peg holds REAL BITCOIN, at most {most_sat} sat; NOT AUDITED"
    return (anchors, *(f"{peg}: {each}" for each in peg_networks.UNAUDITED))


def _write_cluster(root: Path, plan: ClusterPlan, names: list[str], ports: list[int]) -> Founded:
    members: list[Member] = []
    for number, name in enumerate(names):
        places = Places(root / name)
        places.data_dir.mkdir(mode=0o700)
        seed = create_key(places.key)
        region = plan.regions[number % len(plan.regions)]
        members.append(
            Member(
                node=NodeId(Signer(seed, b"").public_key),
                profile=_profile_of(_said_of(name, region, plan)),
                beacon_tip=beacon.tip(beacon_secret(seed)),
                grant_msat=0 if plan.peg else GRANT_MSAT,
                bond_msat=0 if plan.peg else BOND_MSAT,
            )
        )
    genesis = Genesis(
        state_version=plan.state_version,
        name=plan.name,
        created_ms=SystemClock().unix_ms() if plan.created_ms is None else plan.created_ms,
        bitcoin_network="none" if plan.bitcoin == "off" else plan.bitcoin_network,
        members=tuple(members),
        rules=_rules(plan),
    )
    peers = [
        Bootstrap(node=member.node, host=plan.host_of(number), port=port)
        for number, (member, port) in enumerate(zip(members, ports, strict=True), 1)
    ]
    nodes: list[FoundedNode] = []
    for number, member in enumerate(members):
        lies = number >= len(members) - plan.liars
        places = Places(root / names[number])
        others = [str(peer) for peer in peers if peer.node != member.node]
        host = plan.host_of(number + 1)
        listen = join_address(_listen_host(host), ports[number])
        said = _said_of(member.profile.name, member.profile.region, plan)
        chosen = _founding_options(plan, said, listen, others, lies=lies)
        if _listen_host(host) != host:
            chosen["transport"]["advertise"] = join_address(host, ports[number])
        places.config.write_text(render_config(chosen), encoding="utf-8")
        write_genesis(places, genesis)
        nodes.append(
            FoundedNode(
                node=member.node,
                name=names[number],
                data_dir=places.data_dir,
                listen=listen,
                lies=lies,
            )
        )
    return Founded(fingerprint=fingerprint(genesis), name=plan.name, nodes=tuple(nodes))


def _rules(plan: ClusterPlan) -> Rules:
    """Give the plan's rules, with the peg's among them."""
    most_sat = plan.peg_sat_max
    if not plan.accepts_unaudited_peg:
        return replace(plan.rules, peg_sat_max=most_sat)
    most_sat = most_sat or peg_networks.MAIN_SAT_DEFAULT
    said = peg_networks.NOT_AUDITED
    return replace(plan.rules, peg_sat_max=most_sat, peg_acknowledged=said)


def _said_of(name: str, region: str, plan: ClusterPlan) -> dict[str, object]:
    """Give what a founder says of itself, as options of the section `node`."""
    return {
        "name": name,
        "region": region,
        "kind": NodeKind.COMPUTE.value,
        "owner": plan.owner,
        "labels": plan.labels,
        "refuses": plan.refuses,
    }


def _profile_of(said: dict[str, object]) -> Profile:
    """Read what a node says of itself; raise before anything is written."""
    profile = _parse_own(render_config({"node": said})).node.profile
    fault = profile_fault(profile)
    if fault is not None:
        raise UsageError(fault)
    return profile


def _founding_options(
    plan: ClusterPlan, said: dict[str, object], listen: str, others: list[str], *, lies: bool
) -> dict[str, dict[str, object]]:
    chosen: dict[str, dict[str, object]] = {
        "node": said,
        "transport": {"listen": listen, "bootstrap": others},
        "bitcoin": {
            "chain": plan.bitcoin,
            "embedded_dir": "../chain",
            "block_interval_ms": plan.block_interval_ms,
        },
    }
    if plan.bitcoin_url:
        chosen["bitcoin"][f"{plan.bitcoin}_url"] = plan.bitcoin_url
    elif plan.bitcoin == "rpc":
        chosen["bitcoin"]["rpc_url"] = f"http://127.0.0.1:{RPC_PORTS[plan.bitcoin_network]}"
    if plan.bitcoin == "embedded":  # its coins are free, and people want to see anchors
        chosen["bitcoin"] |= {"anchor_period_ms": 0, "fee_sat_a_day_max": 0}
    if lies:
        chosen["faults"] = {"lie": "corrupt_output"}
    return _with(chosen, plan.options)


def _with(
    chosen: dict[str, dict[str, object]], more: dict[str, dict[str, object]]
) -> dict[str, dict[str, object]]:
    return {name: {**chosen.get(name, {}), **more.get(name, {})} for name in {**chosen, **more}}


def _check_chain(plan: ClusterPlan) -> None:
    if plan.bitcoin not in CHAINS:
        msg = f"chain {plan.bitcoin!r} is not known; choose one of {', '.join(CHAINS)}"
        raise UsageError(msg)
    is_served = plan.bitcoin in ("rpc", "esplora")
    if not is_served and (plan.bitcoin_url or plan.bitcoin_network != "regtest"):
        msg = f"chain {plan.bitcoin!r} takes no address and no network; choose rpc or esplora"
        raise UsageError(msg)
    if plan.bitcoin_network not in NETWORKS:
        msg = f"network {plan.bitcoin_network!r} is not one of {', '.join(sorted(NETWORKS))}"
        raise UsageError(msg)
    if plan.bitcoin == "esplora" and not plan.bitcoin_url:
        raise UsageError("chain 'esplora' needs an address: give --bitcoin-url URL")
    try:
        if plan.bitcoin_url:
            parse_url(plan.bitcoin_url)
    except ConfigError as error:
        msg = f"the Bitcoin server: {error}"
        raise UsageError(msg) from error


def _check_plan(members: int, plan: ClusterPlan) -> None:
    if not 1 <= members <= MEMBERS_MAX:
        msg = f"a committee has 1 to {MEMBERS_MAX} members, not {members}; 4 or 7 are usual"
        raise UsageError(msg)
    if not plan.name.isprintable() or not 0 < len(plan.name.strip()) <= len(plan.name) <= 63:
        msg = f"{plan.name!r}: a cluster's name has 1 to 63 characters that can be printed"
        raise UsageError(msg)
    _check_version(plan)
    _check_chain(plan)
    _check_peg(members, plan)
    last = plan.base_port if plan.is_spread else plan.base_port + members - 1
    if not 1 <= plan.base_port <= last <= 65_535:
        msg = f"ports {plan.base_port} to {last} do not exist; choose a base port from 1024 on"
        raise UsageError(msg)
    if plan.is_spread and plan.bitcoin == "embedded":
        msg = f"host {plan.host}: the embedded chain is of one machine; choose another, or none"
        raise UsageError(msg)
    _check_host(plan.host_of(members))
    if not 0 <= plan.liars <= liars_max(members):
        msg = (
            f"{plan.liars} of {members} members cannot lie: a committee of n bears at most "
            f"(n-1)/3 liars, here {liars_max(members)}; take more nodes or fewer liars"
        )
        raise UsageError(msg)


def _check_version(plan: ClusterPlan) -> None:
    try:
        VERSIONS.of(plan.state_version)
    except ValueError as error:
        raise UsageError(f"--state-version: {error}") from error


def _check_peg(members: int, plan: ClusterPlan) -> None:
    """Refuse a peg that cannot be, or that nobody was warned of."""
    if plan.peg and plan.bitcoin == "off":
        raise UsageError("a peg needs a Bitcoin chain: leave --peg or --bitcoin off away")
    if plan.peg and members > SIGNERS_MAX:
        msg = f"a peg has at most {SIGNERS_MAX} members, whose keys stand in one script"
        raise UsageError(msg)
    if plan.peg_sat_max and not plan.peg:
        raise UsageError("--peg-sat-max bounds a peg: give --peg, or leave it away")
    is_main = plan.peg and plan.bitcoin_network == peg_networks.MAIN
    if plan.accepts_unaudited_peg and not is_main:
        msg = f"{ACCEPT} is for a peg on the main network alone: leave it away"
        raise UsageError(msg)
    if is_main and not plan.accepts_unaudited_peg:
        msg = (
            "a peg on the main network WAS NOT AUDITED, and whoever pegs in may lose all of it: "
            f"{'; '.join(peg_networks.UNAUDITED)}. Anchors need no peg: leave --peg away; "
            f"if all that the peg will hold may be lost, give {ACCEPT}"
        )
        raise UsageError(msg)
    most_sat = peg_networks.MAIN_SAT_MAX if is_main else AMOUNT_MAX_SAT
    least_sat = peg_networks.BOUND_MIN_SAT
    if 0 < plan.peg_sat_max < least_sat:
        raise UsageError(f"--peg-sat-max: {least_sat} sat or more, not {plan.peg_sat_max}")
    if not 0 <= plan.peg_sat_max <= most_sat:
        raise UsageError(f"--peg-sat-max: at most {most_sat} sat here, not {plan.peg_sat_max}")


def _check_host(host: str) -> None:
    """Refuse a host under which peers could not dial the members."""
    if not _is_address(host) and not _HOST_NAME.fullmatch(host):
        msg = f"host {host!r} is neither an IP address nor a name; give it without a port"
        raise UsageError(msg)
    try:
        check_dialable(host, BASE_PORT)
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _listen_host(host: str) -> str:
    """Give what to listen on for peers that dial `host`: an address itself, any for a name."""
    if _is_address(host):
        return host
    return LISTEN_HOST if is_loopback(host) else WILDCARD_HOST


def _claim(root: Path) -> None:
    """Create a folder, or take an empty one."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        occupied = any(root.iterdir())
    except OSError as error:
        msg = f"{root}: cannot be used: {error.strerror}; choose another folder"
        raise ConfigError(msg) from error
    if occupied:
        msg = f"{root}: is not empty; choose a new folder"
        raise ConfigError(msg)


_NAME_CHARS_MAX = 63


class JoinPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a joining device decides."""

    now_ms: int | None = None
    name: str = ""
    """Empty for that of the host."""

    region: str = "local"
    kind: str = "compute"
    owner: str = ""
    labels: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    listen: str = ""
    options: dict[str, dict[str, object]] = {}
    """More options of its config.toml, by section."""


def join_cluster(data_dir: Path, token: JoinToken, token_text: str, plan: JoinPlan) -> FoundedNode:
    """Write the folder of a node that will join with `token` when its daemon starts.

    Raises:
        UsageError: the token has expired.
        ConfigError: the folder is not empty, or an option is malformed.
        StoreError: the disk refuses.
    """
    now_ms = SystemClock().unix_ms() if plan.now_ms is None else plan.now_ms
    if token.expires_ms <= now_ms:
        msg = "the token has expired; ask for a new one with `ambientctl cluster invite`"
        raise UsageError(msg)
    if not plan.listen:
        is_local = stays_on_this_machine(token.addresses)
        with port_beside(data_dir, BASE_PORT) as port:
            listen = join_address(LISTEN_HOST if is_local else WILDCARD_HOST, port)
            return join_cluster(data_dir, token, token_text, replace(plan, listen=listen))
    listen = plan.listen
    name = plan.name or host_name(split_address(listen)[1])
    said: dict[str, object] = {
        "name": name,
        "region": plan.region,
        "kind": plan.kind,
        "owner": plan.owner,
        "labels": plan.labels,
        "refuses": plan.refuses,
    }
    _profile_of(said)
    chosen: dict[str, dict[str, object]] = {
        "node": said,
        "transport": {"listen": listen, "bootstrap": list(token.addresses)},
        "bitcoin": {"chain": "off"},
    }
    text = render_config(_with(chosen, plan.options))
    _parse_own(text)
    _claim(data_dir)
    places = Places(data_dir)
    try:
        seed = create_key(places.key)
        places.config.write_text(text, encoding="utf-8")
        write_genesis(places, token.genesis)
        places.invitation.touch(mode=0o600)
        places.invitation.write_text("".join(token_text.split()) + "\n", encoding="ascii")
    except OSError as error:
        msg = f"{data_dir}: cannot be written: {error.strerror}; free space or choose another"
        raise StoreError(msg) from error
    return FoundedNode(
        node=NodeId(Signer(seed, b"").public_key),
        name=name,
        data_dir=data_dir,
        listen=listen,
        lies=False,
    )


def host_name(port: int) -> str:
    """Give what this host is called, as a node can be; where it has no name of its own, a port."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0]).lstrip("_-")
    return host[:_NAME_CHARS_MAX] if host not in {"", "localhost"} else f"node-{port}"


def _parse_own(text: str) -> Config:
    """Check a config before anything is written, so that a wrong option leaves no folder."""
    from ambientd.config.load import parse_config

    return parse_config(text, "options given")
