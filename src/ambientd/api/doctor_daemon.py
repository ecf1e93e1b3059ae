"""What is wrong with a running node: read from what its daemon answers."""

from collections import Counter

from ambientd import __version__
from ambientd.api.counting import in_words
from ambientd.api.doctor_values import Finding, Looks, fails, fine, warns
from ambientd.api.replies import NodeInfo, Nodes, Status, Trouble, TroubleKind

CLOCK_WARN_MS = 1_000
CLOCK_FAIL_MS = 10_000
LATE_MS = 30_000
"""At rest a block is committed each 13 s."""

WORST = frozenset(
    {
        TroubleKind.NO_QUORUM,
        TroubleKind.LOG_STANDS,
        TroubleKind.VOTE_LOST,
        TroubleKind.CONVICTED,
    }
)
_SYNC = "let the device's clock be set by the network: `timedatectl set-ntp true`"


def look_at_daemon(status: Status, nodes: Nodes, looks: Looks) -> list[Finding]:
    """Look at what a running daemon and its peers say."""
    own = next(node for node in nodes.nodes if node.id == nodes.self_id)
    return [
        _version(status),
        _peers(status, nodes),
        _reached(looks, len(nodes.nodes)),
        _clock(looks),
        _mesh_version(looks),
        *_committee(status),
        _chain(status),
        _work(status, own),
        *(_trouble(each) for each in status.troubles if each.kind is not TroubleKind.INVISIBLE),
    ]


def _version(status: Status) -> Finding:
    if status.version != __version__:
        text = f"the daemon is {status.version}, this program {__version__}"
        return warns("daemon", text, "start ambientd again, so that both are the same")
    return fine("daemon", f"runs for {status.uptime_ms // 60_000} min, version {status.version}")


def _peers(status: Status, nodes: Nodes) -> Finding:
    others = len(nodes.nodes) - 1
    away = [node.name for node in nodes.nodes if node.committee and not node.connected]
    text = f"{len(status.peers)} of {in_words(others, 'other node')} connected"
    if others and not status.peers:
        return fails(
            "peers",
            text,
            "see that this device is online, and that [transport] bootstrap in config.toml names "
            "nodes that run",
        )
    if away:
        text += f"; members away: {', '.join(away[:5])}"
        return warns("peers", text, "ask their owners; or see what keeps this device from them")
    return fine("peers", text)


def _reached(looks: Looks, nodes: int) -> Finding:
    """Say whether others can dial this node: without that it seems fine, and new ones miss it."""
    tried = [each for each in looks.peers if each.reached is not None]
    reached = sum(each.reached is True for each in tried)
    if nodes == 1:
        return fine("reachable", "this is the only node")
    if not tried:
        asked = (
            f"asked: {in_words(looks.asked, 'peer')}"
            if looks.asked
            else "no peer is connected to ask"
        )
        text = f"nobody tried port {looks.port}: {asked}"
        return warns("reachable", text, "ask again in half a minute, with peers connected")
    text = f"{reached} of {in_words(len(tried), 'peer')} reached port {looks.port} here"
    if reached == len(tried):
        return fine("reachable", text)
    if not reached and looks.relays:
        through = in_words(looks.relays, "member")
        return fine("reachable", f"reachable by relay, through {through}; {text}")
    if not reached:
        return fails(
            "reachable",
            f"fine but invisible: {text}; nodes that this one does not dial never meet it",
            f"open TCP port {looks.port} in this device's firewall and forward it in its router; "
            "or set [transport] advertise to the address that is forwarded; or [relay] use here "
            "and [relay] serve at a member that all can dial",
        )
    advice = "see what those networks let through; some have their own way to this device"
    return warns("reachable", text, advice)


def _clock(looks: Looks) -> Finding:
    if looks.clock_ms is None:
        behind_ms = looks.block_ms
        if behind_ms > CLOCK_WARN_MS:
            text = f"the last block is {behind_ms / 1000:.0f} s ahead of this clock"
            return fails("clock", text, _SYNC)
        return warns("clock", "no peer said its time", "ask again with peers connected")
    off_ms, ahead = abs(looks.clock_ms), "behind" if looks.clock_ms > 0 else "ahead of"
    text = f"{off_ms / 1000:.1f} s {ahead} the median of {in_words(len(looks.peers), 'peer')}"
    if off_ms >= CLOCK_FAIL_MS:
        return fails("clock", text, _SYNC)
    return warns("clock", text, _SYNC) if off_ms >= CLOCK_WARN_MS else fine("clock", text)


def _mesh_version(looks: Looks) -> Finding:
    others = Counter(each.version for each in looks.peers)
    if not others:
        return fine("versions", "no peer said its version")
    differing = sorted(version for version in others if version != __version__)
    if differing:
        told = ", ".join(f"{others[each]} run {each}" for each in differing)
        text = f"this node runs {__version__}, of {in_words(others.total(), 'peer')} {told}"
        advice = "all nodes of a cluster run one version: install the newer one everywhere"
        return warns("versions", text, advice)
    return fine("versions", f"{in_words(others.total(), 'peer')} asked, all on {__version__}")


def _committee(status: Status) -> list[Finding]:
    """Say whether the log moves; what is in the way stands as trouble."""
    if any(trouble.kind in WORST for trouble in status.troubles):
        return []
    ago = f"{status.silent_ms / 1000:.0f} s ago"
    text = f"epoch {status.epoch}, term {status.term}, last block {ago}"
    if status.coordinator is None:
        advice = "a quorum of the members must run: see `ambientctl nodes`"
        return [fails("committee", f"nobody coordinates; {text}", advice)]
    if status.silent_ms > LATE_MS:
        advice = "this node may lag behind: see that it reaches the members, `ambientctl nodes`"
        return [warns("committee", f"late: {text}", advice)]
    return [fine("committee", text)]


def _chain(status: Status) -> Finding:
    chain = status.chain
    height = "" if chain.height is None else f", height {chain.height}"
    text = f"{chain.kind}: {chain.state}{height}{f' ({chain.detail})' if chain.detail else ''}"
    if chain.kind == "off":
        return fine("chain", "off: this node anchors nothing, others do")
    if chain.state != "ready":
        advice = "see [bitcoin] in config.toml, and that the chain's server answers"
        return warns("chain", text, advice)
    return fine("chain", text)


def _work(status: Status, own: NodeInfo) -> Finding:
    if status.owner.closed != "open":
        return fine("work", f"takes none: {status.owner.text}")
    if status.safe_mode.active:
        text = f"takes none, in safe mode: {', '.join(status.safe_mode.reasons)}"
        return warns("work", text, "cool the device, or give it a better link; it ends by itself")
    if own.tombstoned:
        return fails("work", "this node is convicted", "join anew with another key")
    if not own.accepting:
        return warns(
            "work",
            "fine but invisible: the members find that this node takes no work",
            "see that it reaches the members and they it: `ambientctl nodes`, on a member too",
        )
    return fine("work", "takes work, and the log knows it")


def _trouble(trouble: Trouble) -> Finding:
    found = fails if trouble.kind in WORST else warns
    return found(trouble.kind.value, trouble.text, trouble.hint)
