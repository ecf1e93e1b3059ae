"""What a node's owner is told when the log stands still, or the node votes no more."""

from msgspec.structs import asdict, replace

from ambientd.api.replies import TroubleKind
from ambientd.api.troubles import (
    DEEDS,
    SILENT_MS,
    LogSeen,
    convicted,
    convicted_members,
    profile_differs,
    troubles_of,
    unaudited_peg,
    unsigned,
)
from ambientd.cli.blame_commands import KINDS
from ambientd.ledger.entries import EvidenceEntry, NodeEntry
from ambientd.ledger.evidence import (
    EVIDENCE_OF_FALSE_STEP,
    EVIDENCE_OF_LIE,
    EVIDENCE_OF_TWO_SEGMENTS,
    EVIDENCE_OF_TWO_TRACES,
    EVIDENCE_OF_TWO_VERDICTS,
)
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import NodeKind, Profile, Rules
from ambientd.node.stops import LOG_EVIDENCE
from ambientd.rules.peg_networks import NOT_AUDITED, UNAUDITED
from ambientd.telemetry.core import EVIDENCE_KIND
from tests.ledger.peg import PegCluster

WELL = {
    "outdated": "",
    "is_member": True,
    "may_vote": True,
    "is_first_start": False,
    "members": 4,
    "away": (),
    "term": 3,
    "coordinator": "node2",
    "records": 0,
    "is_awaited": False,
    "silent_ms": 0,
}


def told(**seen: object) -> dict[str, str]:
    """Give what is told of a log by kind, text and hint joined."""
    found = troubles_of(LogSeen(**(WELL | seen)))  # type: ignore[arg-type]
    return {each.kind: " / ".join(map(str, asdict(each).values())) for each in found}


def test_a_log_that_moves_is_no_trouble() -> None:
    assert told() == {}
    assert told(silent_ms=SILENT_MS * 10) == {}
    assert told(silent_ms=SILENT_MS - 1, records=1) == {}
    assert told(away=("node4",)) == {}


def test_a_member_that_votes_no_more_is_told_what_to_do() -> None:
    found = told(may_vote=False)
    assert set(found) == {TroubleKind.VOTE_LOST}
    assert "member admit NODE --instead" in found[TroubleKind.VOTE_LOST]
    assert told(may_vote=False, is_member=False) == {}


def evidence(kind: str, task: TaskId | None = None) -> EvidenceEntry:
    return EvidenceEntry(NodeId(b"n" * 32), kind, task, None, ())


def test_a_convicted_node_is_told_by_what_and_that_a_new_key_may_join() -> None:
    found = convicted(evidence(EVIDENCE_OF_LIE, TaskId(b"\xab" * 32)))
    assert found.kind == TroubleKind.CONVICTED
    assert "evidence `divergent-output` in task abababababab" in found.text
    assert "its answer was false" in found.text
    assert "tombstoned for good" in found.text
    assert "`ambientctl join TOKEN`" in found.hint
    assert "`ambientctl blame verify`" in found.hint


def test_members_hear_of_convicted_ones_that_keep_their_seats() -> None:
    found = convicted_members(["node5", "node6"], 6)
    assert found.kind == TroubleKind.CONVICTED_MEMBERS
    assert found.text.startswith("2 of 6 members are convicted and keep their seats: node5, node6")
    assert "of 6 members 1 may lie" in found.text
    assert "`ambientctl member remove NODE`" in found.hint


def test_every_kind_of_evidence_is_put_into_words() -> None:
    kinds = {EVIDENCE_OF_LIE, EVIDENCE_OF_FALSE_STEP, "receipt", LOG_EVIDENCE, EVIDENCE_KIND}
    kinds |= {EVIDENCE_OF_TWO_VERDICTS, EVIDENCE_OF_TWO_TRACES, EVIDENCE_OF_TWO_SEGMENTS, "proof"}
    assert set(DEEDS) == set(KINDS) == kinds
    for kind in kinds:
        assert DEEDS[kind] in convicted(evidence(kind)).text


def test_who_is_missing_for_a_quorum_is_named() -> None:
    found = told(away=("node3", "node4"))
    assert "of 4 members 2 are here and can vote" in found[TroubleKind.NO_QUORUM]
    assert "3 are needed" in found[TroubleKind.NO_QUORUM]
    assert "node3, node4" in found[TroubleKind.NO_QUORUM]
    assert set(told(may_vote=False, away=("node4",))) == {
        TroubleKind.VOTE_LOST,
        TroubleKind.NO_QUORUM,
    }


def test_a_node_outside_the_committee_does_not_count_votes() -> None:
    assert told(is_member=False, away=("node2", "node3", "node4")) == {}


def test_a_log_that_stands_while_something_waits_names_its_coordinator() -> None:
    found = told(silent_ms=42_500, records=2, is_awaited=True, away=("node2",))
    text = found[TroubleKind.LOG_STANDS]
    assert "for 42 s though records (2 here) and open tasks wait" in text
    assert "coordinator node2 of term 3, which is away" in text
    assert "which is away" not in told(silent_ms=20_000, is_awaited=True)[TroubleKind.LOG_STANDS]
    alone = told(silent_ms=20_000, is_awaited=True, away=("node3", "node4"))
    assert "coordinator" not in alone[TroubleKind.LOG_STANDS], "it cannot move the log alone"
    assert "once a quorum is here" in alone[TroubleKind.LOG_STANDS]


def test_a_peg_with_real_bitcoin_is_told_of_for_ever() -> None:
    rules = Rules(peg_acknowledged=NOT_AUDITED, peg_sat_max=50_000)
    (found,) = unaudited_peg(PegCluster(network="main", rules=rules).genesis)
    assert found.kind is TroubleKind.PEG_NOT_AUDITED
    assert all(each in found.text for each in UNAUDITED)
    assert "at most 50000 sat" in found.hint
    assert unaudited_peg(PegCluster(network="main").genesis) == ()
    assert unaudited_peg(PegCluster(network="signet", rules=rules).genesis) == ()


def test_what_is_not_signed_for_the_peg_is_told_with_its_reason() -> None:
    found = unsigned("a reason")
    assert found.kind is TroubleKind.PEG_UNSIGNED
    assert found.text.endswith("a reason")
    assert "peg.key" in found.hint


def test_a_profile_changed_after_the_node_came_in_is_told() -> None:
    known = Profile(name="attic", region="local", kind=NodeKind.EDGE)
    entry = NodeEntry(profile=known, is_member=True)
    assert profile_differs(known, entry) == profile_differs(known, None) == ()
    (told,) = profile_differs(replace(known, owner="ada", refuses=("media",)), entry)
    assert told.kind is TroubleKind.PROFILE_DIFFERS
    assert "changed (owner, refuses), which has no effect" in told.text
    assert "join" in told.hint
    offered = replace(known, refuses=("media",))
    assert profile_differs(offered, entry, has_offered=True) == ()


def test_a_program_that_does_not_know_the_state_version_is_all_that_is_told_of_the_log() -> None:
    why = "the log is of state version 2 since block 14, this program knows 1: update it"
    found = told(outdated=why, may_vote=False, silent_ms=60_000, records=3)
    assert list(found) == [TroubleKind.OUTDATED]
    assert f"stands aside and signs nothing: {why}" in found[TroubleKind.OUTDATED]
    assert "install the version that the other members run" in found[TroubleKind.OUTDATED]
