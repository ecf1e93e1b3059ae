"""What is wrong with a node's part in the log, or with receipts, and what its owner can do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ambientd.api.counting import in_words
from ambientd.api.replies import Trouble, TroubleKind
from ambientd.api.seen_values import Seen
from ambientd.ledger.entries import EvidenceEntry, NodeEntry
from ambientd.model.base import NodeId
from ambientd.model.genesis import Genesis, Profile
from ambientd.roles.anchorer import Overdue
from ambientd.rules.peg_networks import MAIN, UNAUDITED, peg_fault
from ambientd.rules.verdicts import liars_max, quorum

SILENT_MS = 15_000
"""At rest a block is committed each 13 s; older than this is the last one only when all stands."""


@dataclass(frozen=True, slots=True)
class LogSeen:
    """The log as this node sees it; `away` names the members that it does not reach."""

    outdated: str
    is_member: bool
    may_vote: bool
    is_first_start: bool
    members: int
    away: Sequence[str]
    term: int
    coordinator: str
    records: int
    is_awaited: bool
    silent_ms: int


def troubles_of(seen: LogSeen) -> tuple[Trouble, ...]:
    """Give what keeps this node from voting, or the log from moving; nothing when all is well."""
    if seen.outdated:
        return (_outdated(seen.outdated),)
    found = (_lost_vote(seen), _no_quorum(seen), _standstill(seen))
    return tuple(each for each in found if each is not None)


DEEDS = {
    "divergent-output": "a quorum of the committee found that its answer was false",
    "false-step": "a quorum of the committee found a step that its execution does not take",
    "proof": "a quorum of the committee found that its proof is wrong",
    "trace": "its key has signed two different traces of one round",
    "segment": "its key has signed two different findings on one stretch",
    "receipt": "its key has signed two different answers to one assignment",
    "verdict": "its key has signed two different findings on one task",
    "log": "its key has signed two statements on the log that exclude each other",
    "telemetry": "its key has signed two different telemetry batches of one number",
}
"""What each kind of evidence shows (protocols/03-records.md section 5)."""


def convicted(evidence: EvidenceEntry) -> Trouble:
    """Give what a convicted node's owner is told of what convicts it."""
    deed = DEEDS.get(evidence.kind, "its key has contradicted itself")
    task = "" if evidence.task is None else f" in task {evidence.task.hex()[:12]}"
    return Trouble(
        kind=TroubleKind.CONVICTED,
        text=f"this node is convicted (evidence `{evidence.kind}`{task}): {deed}; its key is "
        "tombstoned for good: no work, no tasks, no new seat; its bond is gone, its balance stays",
        hint="if that was no lie, see whether the key is in use twice or an older store was put "
        "back; a new key joins in a new folder: `ambientctl cluster invite` at a member, "
        "`ambientctl join TOKEN` here; `ambientctl blame list` shows all that convicts, and "
        "`ambientctl blame verify` checks it",
    )


def unaudited_peg(genesis: Genesis) -> tuple[Trouble, ...]:
    """Give what everybody is told whose cluster has a peg on the main network."""
    if genesis.bitcoin_network != MAIN or peg_fault(genesis) is not None:
        return ()
    trouble = Trouble(
        kind=TroubleKind.PEG_NOT_AUDITED,
        text="this cluster's peg holds BITCOIN OF THE MAIN NETWORK and WAS NOT AUDITED: "
        f"{'; '.join(UNAUDITED)}",
        hint=f"peg in no more than can be lost; the peg holds at most {genesis.rules.peg_sat_max} "
        "sat; `ambientctl peg audit` compares coins and books",
    )
    return (trouble,)


def unsigned(fault: str) -> Trouble:
    """Give what is told of payments of the peg that this member does not sign."""
    return Trouble(
        kind=TroubleKind.PEG_UNSIGNED,
        text=f"this node does not sign for the peg: {fault}",
        hint="see to a signer that does not answer; after `ambientctl key replace-peg` this ends "
        "when the others have moved the coins; else put back the peg.key and peg.book that belong "
        "to this node, never an older copy of the book; the other members sign meanwhile, as long "
        "as there are enough of them",
    )


def profile_differs(
    said: Profile, known: NodeEntry | None, *, has_offered: bool = False
) -> tuple[Trouble, ...]:
    """Give what is told when config.toml says of a node what the cluster does not know.

    Once its owner `has_offered` something else, what config.toml lets it refuse means nothing.
    """
    if known is None:
        return ()
    names = [name for name in Profile.__struct_fields__ if name != "refuses" or not has_offered]
    differing = [name for name in names if getattr(known.profile, name) != getattr(said, name)]
    if not differing:
        return ()
    trouble = Trouble(
        kind=TroubleKind.PROFILE_DIFFERS,
        text=f"[node] in config.toml was changed ({', '.join(differing)}), which has no effect: "
        "the cluster keeps what a node said when it came in",
        hint="put the old values back; to say something else, join anew with a new key: "
        "`ambientctl cluster invite` at a member, `ambientctl join TOKEN` in a new folder",
    )
    return (trouble,)


def invisible(seen: Seen) -> tuple[Trouble, ...]:
    """Give what is told when peers that looked for this node did not find it."""
    if not seen.is_invisible:
        return ()
    if seen.tried and not seen.reached:
        text = (
            f"fine but invisible: of {in_words(seen.tried, 'peer')} that tried none reaches this "
            f"node at port {seen.port}; nodes that it does not dial itself never meet it"
        )
    else:
        asked = in_words(seen.saying, "peer")
        text = f"fine but invisible: of {asked} none says that it has a link to here"
    trouble = Trouble(
        kind=TroubleKind.INVISIBLE,
        text=text,
        hint=f"open TCP port {seen.port} in this device's firewall and forward it in its router; "
        "or set [transport] advertise to the address that is forwarded; or [relay] use here and "
        "[relay] serve at a member that all can dial; `ambientctl doctor` asks again",
    )
    return (trouble,)


def convicted_members(names: Sequence[str], members: int) -> Trouble:
    """Give what a member's owner is told of convicted members, whose seats nobody has taken yet."""
    most = liars_max(members)
    return Trouble(
        kind=TroubleKind.CONVICTED_MEMBERS,
        text=f"{len(names)} of {members} members are convicted and keep their seats: "
        f"{', '.join(names)}; they vote and coordinate, and of {members} members {most} may lie",
        hint="`ambientctl member remove NODE`, by owners of a quorum of the members, lets one go",
    )


def late_anchor(
    late: Overdue, now: int, name: Callable[[NodeId], str], *, has_chain: bool
) -> Trouble:
    """Give what is told of a batch without an anchor: since when, whose turn it is, who is next."""
    turn = "" if late.turn == late.coordinator else f"; it is the turn of {name(late.turn)}"
    coming = "; no member's turn is left"
    if late.next_turn is not None:
        coming = f"; next is {name(late.next_turn)}, in {max(0, late.next_ms - now) // 1000} s"
    here = "" if has_chain else ", and this node has none"
    waited_s = (now - late.since_ms) // 1000
    return Trouble(
        kind=TroubleKind.ANCHOR_LATE,
        text=f"the newest batch ({in_words(late.size, 'receipt')}) has waited {waited_s} s for its "
        f"anchor: coordinator {name(late.coordinator)} has not anchored it{turn}{coming}",
        hint=f'a member without a chain (`chain = "off"`) anchors nothing{here}: set `chain` under '
        '[bitcoin] in its config.toml to "embedded", "rpc" or "esplora", and start ambientd again; '
        "no receipt is lost, a later batch holds every earlier one",
    )


def chain_away(reason: str, kind: str) -> Trouble:
    """Give what is told of a chain that does not answer, hangs, or is behind."""
    remedy = "see to the server that [bitcoin] names, or name another and start ambientd again"
    if kind == "embedded":
        remedy = (
            "end the process `python -m ambientd.adapters.regtest` of this data folder, if it is "
            "there: it is started again by itself, and its chain is kept"
        )
    return Trouble(
        kind=TroubleKind.CHAIN_AWAY,
        text=f"nothing is anchored now: {reason}",
        hint=f"{remedy}; `ambientctl anchor retry` looks at once; no receipt is lost, anchors go "
        "on where they were",
    )


def _outdated(why: str) -> Trouble:
    return Trouble(
        kind=TroubleKind.OUTDATED,
        text=f"this node stands aside and signs nothing: {why}",
        hint="install the version that the other members run (`ambientctl member list` there says "
        "who knows what), and start ambientd again: it goes on where it stands, nothing is lost",
    )


def _lost_vote(seen: LogSeen) -> Trouble | None:
    if not seen.is_member or seen.may_vote or seen.is_first_start:
        return None
    return Trouble(
        kind=TroubleKind.VOTE_LOST,
        text="this node has lost what it voted for: it follows the log and works, but its key "
        "never votes again",
        hint="only its own store brings the vote back, no backup; or let a node with a new key "
        "take the seat: `ambientctl member ask` there, `ambientctl member admit NODE --instead` by "
        "the other members' owners, and then `ambientctl member leave` here",
    )


def _voters(seen: LogSeen) -> int:
    """Count the members that this node reaches, itself included if it votes."""
    silent = seen.is_member and not seen.may_vote
    return seen.members - len(seen.away) - silent


def _no_quorum(seen: LogSeen) -> Trouble | None:
    needed = quorum(seen.members)
    if not seen.is_member or _voters(seen) >= needed:
        return None
    return Trouble(
        kind=TroubleKind.NO_QUORUM,
        text=f"no quorum is here: of {seen.members} members {_voters(seen)} are here and can vote, "
        f"{needed} are needed; nothing enters the log until then",
        hint=f"see that ambientd runs on {', '.join(seen.away) or 'the others'}, and that this "
        "node can reach it; what was asked for meanwhile waits",
    )


def _standstill(seen: LogSeen) -> Trouble | None:
    if seen.silent_ms < SILENT_MS or not (seen.records or seen.is_awaited):
        return None
    records = f"records ({seen.records} here)" if seen.records else ""
    tasks = "open tasks" if seen.is_awaited else ""
    waiting = " and ".join(filter(None, (records, tasks)))
    who = f"coordinator {seen.coordinator} of term {seen.term}"
    away = ", which is away" if seen.coordinator in seen.away else ""
    if _no_quorum(seen) is not None:  # it is nobody's fault but theirs who are away
        return Trouble(
            kind=TroubleKind.LOG_STANDS,
            text=f"nothing was committed for {seen.silent_ms // 1000} s though {waiting} wait",
            hint="it goes on by itself once a quorum is here",
        )
    return Trouble(
        kind=TroubleKind.LOG_STANDS,
        text=f"nothing was committed for {seen.silent_ms // 1000} s though {waiting} wait; "
        f"{who}{away} has not moved the log",
        hint="a quorum replaces a silent coordinator by itself within seconds: see in `ambientctl "
        "nodes` who is away, and in the members' logs why",
    )
