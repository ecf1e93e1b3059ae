"""ambientctl status, nodes, events, version: looking at a node and its mesh."""

import sys
from collections.abc import Sequence
from typing import Protocol

from ambientd import __version__
from ambientd.api import looking_operations as operations
from ambientd.api import replies, requests
from ambientd.api.client import Client
from ambientd.api.owner_standing import OwnerCaps
from ambientd.api.seen_values import ListLinks, Seen
from ambientd.cli.console import (
    CommonArguments,
    at_time,
    connect,
    in_sat,
    in_words,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.privacy_words import standing_text
from ambientd.errors import UsageError

MIB = 1024 * 1024


class NodesArguments(CommonArguments, Protocol):
    """Options of `nodes`."""

    node: str | None
    links: bool


class EventsArguments(CommonArguments, Protocol):
    """Options of `events`."""

    task: list[str]


def version(arguments: CommonArguments) -> ExitCode:
    """Print the version of this program."""
    if arguments.as_json:
        print_json({"version": __version__})
    else:
        print_line(f"ambientctl {__version__}")
    return ExitCode.DONE


class StatusArguments(CommonArguments, Protocol):
    """Options of `status`."""

    ready: bool


def status(arguments: StatusArguments) -> ExitCode:
    """Tell how the node is, or only that it takes part: a node that does not answers why."""
    with connect(arguments) as client:
        if arguments.ready:
            taking_part = client.call(operations.READY, requests.GetReadiness())
            print_json(taking_part) if arguments.as_json else print_line("ready")
            return ExitCode.DONE
        answer = client.call(operations.STATUS, requests.GetStatus())
    if arguments.as_json:
        print_json(answer)
    else:
        print_fields(_status_fields(answer))
    return ExitCode.DONE


def _status_fields(answer: replies.Status) -> list[tuple[str, str]]:
    if answer.coordinator is None:
        coordinator = "none yet"
    elif answer.coordinator == answer.node:
        coordinator = f"{short(answer.coordinator)} (this node)"
    else:
        coordinator = short(answer.coordinator)
    tasks = [f"{count} {state}" for state, count in sorted(answer.tasks.items()) if count]
    fields = [
        ("node", f"{answer.name} {answer.node}"),
        ("version", answer.version),
        ("cluster", f"{answer.cluster} {answer.fingerprint}"),
        ("term", f"{answer.term} of epoch {answer.epoch}, coordinator {coordinator}"),
        ("log", f"{in_words(answer.committed_height, 'block')} committed{_versions(answer)}"),
        ("peers", f"{len(answer.peers)} connected, committee of {answer.committee}"),
        ("seen", seen_text(answer.seen)),
        ("health", "unknown" if answer.health_percent is None else f"{answer.health_percent} %"),
        ("safe mode", _safe_mode(answer.safe_mode)),
        ("owner", answer.owner.text + ("" if answer.owner.told else " (the mesh is not told yet)")),
        ("caps", caps_text(answer.owner.caps)),
        ("tasks", ", ".join(tasks) or "none"),
        ("engine", f"{answer.engine} (installed: {', '.join(answer.engines_installed)})"),
        ("sandbox", _sandbox(answer.sandbox)),
        ("chain", chain_text(answer.chain)),
        *_headers(answer.chain.headers),
        ("balance", in_sat(answer.balance_msat)),
    ]
    if answer.tasks_waiting:
        waiting = f"{answer.tasks_waiting} of this node's tasks are on its disk, not in the log yet"
        fields.append(("waiting", waiting))
    if answer.privacy.studies:
        spent = standing_text(answer.privacy.epsilon)
        fields.append(("privacy", f"{spent}, private studies: {answer.privacy.studies}"))
    if answer.faults != "none":
        fields.append(("FAULTS", f"this node lies on purpose: {answer.faults}"))
    return fields + trouble_fields(answer.troubles)


def _versions(answer: replies.Status) -> str:
    """Say which state version is in force, and what this program knows beyond it."""
    knows, present = answer.known_version, answer.state_version
    return f", state version {present}" + (f"; this program knows {knows}" * (knows > present))


def caps_text(caps: OwnerCaps) -> str:
    """Say what an owner has taken away, in a line."""
    words = []
    if caps.cpu_percent < 100:
        words.append(f"{caps.cpu_percent} % of all cores, {caps.capacity} at once")
    if caps.memory_bytes_max:
        words.append(f"{caps.memory_bytes_max // MIB:,} MiB of memory")
    if caps.hours:
        words.append(f"{'; '.join(caps.hours)} by {caps.time_zone}")
    if not caps.on_battery:
        words.append("not on battery")
    if not caps.on_metered:
        words.append("not on metered networks")
    if caps.refuses:
        words.append(f"no tasks of class {', '.join(caps.refuses)}")
    if caps.paused:
        words.append("paused")
    return ", ".join(words) or "none: `ambientctl owner set` makes some"


def seen_text(seen: Seen) -> str:
    """Say how peers see this node."""
    if seen.age_ms is None:
        return "no peer was asked yet"
    said = in_words(seen.answered, "peer")
    words = [f"{said} answered, the last {in_words(seen.age_ms // 1000, 'second')} ago"]
    if seen.tried:
        words.append(f"{seen.reached} of {seen.tried} that tried reach port {seen.port}")
    if seen.relays:
        words.append(f"reachable by relay, through {in_words(seen.relays, 'member')}")
    if seen.saying:
        words.append(f"{seen.linked} of {seen.saying} have a link to it")
    return "; ".join(words)


def trouble_fields(troubles: Sequence[replies.Trouble]) -> list[tuple[str, str]]:
    """Put troubles into lines, each with what to do about it."""
    return [
        line
        for trouble in troubles
        for line in (("TROUBLE", trouble.text), ("remedy", trouble.hint))
    ]


def _safe_mode(mode: replies.SafeMode) -> str:
    return f"yes: {'; '.join(mode.reasons)}" if mode.active else "no"


def _sandbox(sandbox: replies.Sandbox) -> str:
    text = ", ".join(sandbox.active) or "none"
    return f"{text}; missing {', '.join(sandbox.missing)}" if sandbox.missing else text


def chain_text(chain: replies.ChainStatus) -> str:
    """Put a chain's state into one line."""
    if chain.kind == chain.state:
        return chain.kind
    height = "" if chain.height is None else f", height {chain.height}"
    detail = f" ({chain.detail})" if chain.detail else ""
    return f"{chain.kind}: {chain.state}{height}{detail}"


def _headers(headers: replies.HeadersStatus | None) -> list[tuple[str, str]]:
    if headers is None:
        return []
    span = f"{headers.base_height} to {headers.height}"
    return [("headers", f"{headers.state}; {span} checked, tip {headers.tip}")]


def nodes(arguments: NodesArguments) -> ExitCode:
    """List the cluster's nodes, or tell everything about one."""
    if arguments.links:
        return _tell_links(arguments)
    with connect(arguments) as client:
        if arguments.node is not None:
            asked = requests.ShowNode(node=arguments.node)
            return _tell_node(arguments, client.call(operations.NODE_SHOW, asked))
        answer = all_nodes(client)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    columns = ("ID", "NAME", "REGION", "KIND", "ROLE", "STATE", "ENGINE", "HEALTH", "REPUTATION")
    rows = [_node_row(node, answer.self_id) for node in answer.nodes]
    print_table((*columns, "BALANCE", "BOND"), rows)
    return ExitCode.DONE


def _tell_links(arguments: NodesArguments) -> ExitCode:
    """List who is linked to whom, by the word of those that peers were asked of."""
    if arguments.node is not None:
        raise UsageError("--links is of the whole mesh: leave NODE or --links away")
    from ambientd.api.whole_lists import pages, whole

    with connect(arguments) as client:
        answer = whole(pages(client.call, operations.LINKS, ListLinks()), "links")
        names = {each.id: each.name for each in all_nodes(client).nodes}
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    rows = [
        (
            f"{names.get(each.by, '?')} ({short(each.by)})",
            f"{names.get(each.to, '?')} ({short(each.to)})",
            "unknown" if each.one_way_us is None else f"{each.one_way_us / 1000:.1f} ms",
            "now" if each.by == answer.self_id else f"{each.age_ms // 1000} s ago",
        )
        for each in answer.links
    ]
    print_table(("NODE", "HAS A LINK TO", "ONE WAY", "SAID"), rows)
    return ExitCode.DONE


def all_nodes(client: Client) -> replies.Nodes:
    """Give everybody in the cluster, page by page."""
    from ambientd.api.whole_lists import pages, whole

    return whole(pages(client.call, operations.NODES, requests.ListNodes()), "nodes")


def _tell_node(arguments: NodesArguments, node: replies.NodeInfo) -> ExitCode:
    if arguments.as_json:
        print_json(node)
        return ExitCode.DONE
    latency = "unknown" if node.latency_us is None else f"{node.latency_us / 1000:.1f} ms"
    work = f"{node.open_slots} of {node.capacity or 1} in hand"
    fields = [
        ("node", f"{node.name} {node.id}"),
        ("state", node_state(node, "")),
        ("seat", "in the committee" if node.committee else "none"),
        ("is", f"{node.kind}, region {node.region}, owner {node.owner or 'unnamed'}"),
        ("labels", ", ".join(node.labels) or "none"),
        ("refuses", ", ".join(node.refuses) or "no class of tasks"),
        ("engine", node.engine),
        ("work", work if node.load_percent is None else f"{work}, load {node.load_percent} %"),
        ("health", "unknown" if node.health_percent is None else f"{node.health_percent} %"),
        ("latency", latency),
        *([("safe mode", ", ".join(node.causes))] if node.causes else []),
        ("reputation", f"{node.reputation:.3f}"),
        ("balance", f"{in_sat(node.balance_msat)}, bond {in_sat(node.bond_msat)}"),
    ]
    print_fields(fields)
    return ExitCode.DONE


def node_state(node: replies.NodeInfo, self_id: str) -> str:
    """Say how a node is, in a word or two."""
    if node.tombstoned:
        state = "convicted"
    elif node.safe_mode:
        state = "safe mode"
    elif node.id == self_id:
        state = "this node"
    else:
        state = "connected" if node.connected else "away"
    if node.closed and not node.tombstoned:
        state += f", {node.closed}"
    elif not node.accepting and not node.tombstoned and not node.safe_mode:
        state += ", takes no work"
    return state


def _node_row(node: replies.NodeInfo, self_id: str) -> tuple[str, ...]:
    return (
        short(node.id),
        node.name,
        node.region,
        node.kind,
        "committee" if node.committee else "worker",
        node_state(node, self_id),
        node.engine,
        "-" if node.health_percent is None else f"{node.health_percent} %",
        f"{node.reputation:.3f}",
        in_sat(node.balance_msat),
        in_sat(node.bond_msat),
    )


def events(arguments: EventsArguments) -> ExitCode:
    """Tell events until interrupted."""
    request = requests.FollowEvents(tasks=tuple(arguments.task))
    with connect(arguments) as client:
        for event in client.stream(operations.EVENTS, request):
            if arguments.as_json:
                print_json(event)
            else:
                print_line(f"{at_time(event.time_ms)}  {event.kind:<20} {event.text}")
                sys.stdout.flush()  # whoever reads from a pipe waits for it
    return ExitCode.DONE
