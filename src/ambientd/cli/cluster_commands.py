"""ambientctl cluster create and invite, join: founding and growing a cluster."""

import shlex
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from ambientd.api import operations, requests
from ambientd.cli.console import (
    CommonArguments,
    connect,
    data_dir_of,
    print_json,
    print_line,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import read_file
from ambientd.errors import UsageError

_TOKEN_BYTES_MAX = 64 * 1024


class CreateArguments(CommonArguments, Protocol):
    """Options of `cluster create`."""

    dir: str
    members: int
    state_version: int | None
    name: str
    base_port: int
    host: str
    bitcoin: str
    bitcoin_network: str
    bitcoin_url: str
    peg: bool
    peg_sat_max: int
    accept_unaudited_mainnet_peg: bool
    owner: str
    label: list[str]
    refuse: list[str]


class InviteArguments(CommonArguments, Protocol):
    """Options of `cluster invite`."""

    expires: float


class JoinArguments(CommonArguments, Protocol):
    """Options of `join`."""

    token: str
    listen: str
    name: str
    region: str
    kind: str
    owner: str
    label: list[str]
    refuse: list[str]


def create(arguments: CreateArguments) -> ExitCode:
    """Write the folders of a new cluster's nodes."""
    from ambientd.api.cluster import ClusterPlan, create_cluster, warnings_of

    plan = ClusterPlan(
        name=arguments.name,
        host=arguments.host,
        base_port=arguments.base_port,
        bitcoin=arguments.bitcoin,
        bitcoin_network=arguments.bitcoin_network,
        bitcoin_url=arguments.bitcoin_url,
        peg=arguments.peg,
        peg_sat_max=arguments.peg_sat_max,
        accepts_unaudited_peg=arguments.accept_unaudited_mainnet_peg,
        owner=arguments.owner,
        labels=tuple(arguments.label),
        refuses=tuple(arguments.refuse),
    )
    if arguments.state_version is not None:
        plan = replace(plan, state_version=arguments.state_version)
    founded = create_cluster(Path(arguments.dir), arguments.members, plan)
    for each in warnings_of(plan):
        warn(each)
    if arguments.as_json:
        print_json(
            {
                "cluster": founded.name,
                "fingerprint": founded.fingerprint.hex(),
                "state_version": plan.state_version,
                "nodes": [
                    {
                        "id": node.node.hex(),
                        "name": node.name,
                        "data_dir": str(node.data_dir),
                        "listen": node.listen,
                    }
                    for node in founded.nodes
                ],
            }
        )
        return ExitCode.DONE
    name = f"{founded.name}, fingerprint {founded.fingerprint.hex()}"
    print_line(f"cluster {name}, state version {plan.state_version}")
    print_line("start each node in a terminal of its own:")
    for node in founded.nodes:
        print_line(f"  ambientd --data-dir {shlex.quote(str(node.data_dir))}")
    if plan.bitcoin == "rpc":
        print_line("before that, give each the Bitcoin node's login: user:password in the file")
        print_line(
            "bitcoin.login of its folder, or the .cookie as [bitcoin] rpc_login in config.toml"
        )
    first = shlex.quote(str(founded.nodes[0].data_dir))
    print_line(f"then look: ambientctl --data-dir {first} status")
    return ExitCode.DONE


def invite(arguments: InviteArguments) -> ExitCode:
    """Get a token that brings one more node in."""
    expires_in_ms = int(arguments.expires * 1000)
    if expires_in_ms < 1_000:
        msg = "--expires: a token that has expired at once brings nobody in: 1 second or more"
        raise UsageError(msg)
    with connect(arguments) as client:
        answer = client.call(
            operations.CLUSTER_INVITE, requests.Invite(expires_in_ms=expires_in_ms)
        )
    if arguments.as_json:
        print_json(answer)
    else:
        if answer.loopback:
            warn(
                f"only this machine can use the token: it names {_hosts(answer.addresses)}; "
                "for other devices see [transport] listen and advertise in config.toml"
            )
        tell("keep it secret: whoever holds it can bring one node in until it expires")
        print_line(answer.token)
    return ExitCode.DONE


def _hosts(addresses: tuple[str, ...]) -> str:
    return ", ".join(address.partition("@")[2] for address in addresses)


def join(arguments: JoinArguments) -> ExitCode:
    """Write the folder of a node that joins when its daemon starts."""
    from ambientd.api.cluster import JoinPlan, join_cluster
    from ambientd.api.invitation import read_token
    from ambientd.api.troubles import unaudited_peg
    from ambientd.codec.statements import fingerprint

    text = arguments.token
    if text == "-":
        text = read_file("-", "token", _TOKEN_BYTES_MAX).decode("ascii", "replace")
    token = read_token(text)
    plan = JoinPlan(
        name=arguments.name,
        region=arguments.region,
        kind=arguments.kind,
        owner=arguments.owner,
        labels=tuple(arguments.label),
        refuses=tuple(arguments.refuse),
        listen=arguments.listen,
    )
    node = join_cluster(data_dir_of(arguments), token, text, plan)
    for trouble in unaudited_peg(token.genesis):
        warn(f"{trouble.text}; {trouble.hint}")
    cluster = fingerprint(token.genesis).hex()
    if arguments.as_json:
        print_json(
            {
                "id": node.node.hex(),
                "name": node.name,
                "cluster": token.genesis.name,
                "fingerprint": cluster,
                "data_dir": str(node.data_dir),
                "listen": node.listen,
            }
        )
        return ExitCode.DONE
    print_line(
        f"node {node.name} {node.node.hex()} may join cluster {token.genesis.name} ({cluster})"
    )
    print_line(f"it will listen on {node.listen}: {_reach_of(node.listen)}")
    print_line(f"start it: ambientd --data-dir {shlex.quote(str(node.data_dir))}")
    return ExitCode.DONE


def _reach_of(listen: str) -> str:
    """Say who can dial an address, who is told of it, and how to choose otherwise."""
    from ambientd.config.options import is_loopback, is_wildcard, split_address

    host, _ = split_address(listen)
    if is_loopback(host):
        return "only this machine can dial it; for other devices see [transport] in config.toml"
    where = "every network that this device is in" if is_wildcard(host) else "that network"
    return (
        f"{where} can dial it and is told of it by mDNS; for less see [transport] listen and "
        "[discovery] mdns in config.toml"
    )
