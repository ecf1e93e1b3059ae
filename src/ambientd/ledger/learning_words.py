"""What nodes say of a round: each once, and only while the round waits for it (protocols/16)."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar, assert_never

from msgspec.structs import replace

from ambientd.codec.agreement import is_agreeable
from ambientd.ledger import native_audits
from ambientd.ledger.learning_entries import (
    Finding,
    RoundEntry,
    Scored,
    StudyEntry,
)
from ambientd.ledger.state import LedgerState
from ambientd.model.base import DIGEST_BYTES, NodeId
from ambientd.model.learning import Announced, Contributed, RoundState, Shown
from ambientd.model.learning_record import (
    FlKeys,
    FlResult,
    FlScore,
    FlShares,
    FlUnmask,
    FlUpdate,
    RoundBody,
    RoundWord,
)
from ambientd.rules.studies import asked_for_results, asked_for_survivors, viable

SHOWN_BYTES_MAX = 1024 * 1024


class _Word(Protocol):
    @property
    def node(self) -> NodeId: ...


Word = TypeVar("Word", bound=_Word)


def _added(said: tuple[Word, ...], word: Word) -> tuple[Word, ...] | str:
    """Give what was said, with one more word; the first of each node is the one that counts."""
    before = [each for each in said if each.node == word.node]
    if before:
        return said if before[0] == word else "the author has said something else of it"
    return tuple(sorted((*said, word), key=lambda each: each.node))


AWAITED_IN: Mapping[type[RoundBody], RoundState] = MappingProxyType(
    {
        FlKeys: RoundState.KEYS,
        FlShares: RoundState.SHARES,
        FlUpdate: RoundState.TRAINING,
        FlUnmask: RoundState.UNMASKING,
        FlScore: RoundState.EVALUATING,
        FlResult: RoundState.AGGREGATING,
    }
)


def said(
    state: LedgerState, author: NodeId, body: RoundWord, entry: StudyEntry, row: RoundEntry
) -> RoundEntry | str:
    """Give the round with what a node has said of it, or why that counts for nothing."""
    if row.state is not AWAITED_IN[type(body)]:
        return f"the round waits for something else: {row.state.name.lower()}"
    if author not in asked(entry, row):
        return "a word of a node that this step of the round does not ask"
    match body:
        case FlKeys():
            return _keys(author, body, row)
        case FlShares() | FlUnmask():
            return _shown(author, body, row)
        case FlUpdate():
            return _update(author, body, entry, row)
        case FlScore():
            return _score(author, body, entry, row)
        case FlResult():
            return _result(state, author, body, entry, row)
        case _:
            assert_never(body)


def asked(entry: StudyEntry, row: RoundEntry) -> Collection[NodeId]:
    """Give whose words the present step of a round takes."""
    match row.state:
        case RoundState.KEYS | RoundState.SHARES:
            return row.roster
        case RoundState.TRAINING:
            return trainees(entry, row)
        case RoundState.SURVIVORS:
            return asked_for_survivors(row.aggregators, row.turn)
        case RoundState.AGGREGATING:
            return asked_for_results(row.aggregators, row.turn)
        case RoundState.UNMASKING | RoundState.EVALUATING:
            return row.survivors
        case RoundState.DONE | RoundState.FAILED:
            return ()


def speakers(row: RoundEntry) -> set[NodeId]:
    """Give who has said already what the present step of a round asks for."""
    match row.state:
        case RoundState.KEYS:
            return {each.node for each in row.keys}
        case RoundState.SHARES:
            return {each.node for each in row.shares}
        case RoundState.TRAINING:
            return {each.node for each in row.contributed}
        case RoundState.UNMASKING:
            return {each.node for each in row.opened}
        case RoundState.AGGREGATING:
            return {each.node for each in row.findings}
        case RoundState.EVALUATING:
            return {each.node for each in row.scores}
        case RoundState.SURVIVORS | RoundState.DONE | RoundState.FAILED:
            return set()


def trainees(entry: StudyEntry, row: RoundEntry) -> tuple[NodeId, ...]:
    """Give who trains in a round: in private mode who has shared its secrets in time."""
    if not entry.plan.is_private:
        return row.roster
    return viable(entry.plan, row.roster, row.seed, {each.node for each in row.shares})


def _keys(author: NodeId, body: FlKeys, row: RoundEntry) -> RoundEntry | str:
    word = Announced(
        node=author,
        mask_key=body.mask_key,
        seal_key=body.seal_key,
        self_commitment=body.self_commitment,
    )
    if not (is_agreeable(body.mask_key) and is_agreeable(body.seal_key)):
        return "a key that nobody can agree on a secret with"
    if len(body.self_commitment) != DIGEST_BYTES:
        return f"a commitment has {DIGEST_BYTES} bytes"
    keys = _added(row.keys, word)
    return keys if isinstance(keys, str) else replace(row, keys=keys)


def _shown(author: NodeId, body: FlShares | FlUnmask, row: RoundEntry) -> RoundEntry | str:
    if body.size_bytes > SHOWN_BYTES_MAX:
        return f"shares of {body.size_bytes} bytes, at most {SHOWN_BYTES_MAX} are allowed"
    word = Shown(node=author, digest=body.digest, size_bytes=body.size_bytes)
    if isinstance(body, FlShares):
        shares = _added(row.shares, word)
        return shares if isinstance(shares, str) else replace(row, shares=shares)
    opened = _added(row.opened, word)
    return opened if isinstance(opened, str) else replace(row, opened=opened)


def _update(author: NodeId, body: FlUpdate, entry: StudyEntry, row: RoundEntry) -> RoundEntry | str:
    if not 1 <= body.samples <= entry.terms.samples_max:
        return f"an update of {body.samples} samples: 1 to {entry.terms.samples_max}"
    consent = native_audits.own_consent(entry, author)
    if consent is not None and body.samples != consent.samples:
        return f"the author has joined with {consent.samples} samples, and names {body.samples}"
    word = Contributed(node=author, update=body.update, samples=body.samples)
    contributed = _added(row.contributed, word)
    if isinstance(contributed, str):
        return contributed
    return replace(row, contributed=contributed)


def _score(author: NodeId, body: FlScore, entry: StudyEntry, row: RoundEntry) -> RoundEntry | str:
    score, most = body.score, entry.terms.samples_max
    if score.correct > score.total or score.total > most:
        return f"{score.correct} right of {score.total}: no more than all, and {most} at most"
    scores = _added(row.scores, Scored(node=author, score=score))
    return scores if isinstance(scores, str) else replace(row, scores=scores)


def _result(
    state: LedgerState, author: NodeId, body: FlResult, entry: StudyEntry, row: RoundEntry
) -> RoundEntry | str:
    is_ordered = list(body.left_out) == sorted(set(body.left_out))
    if not is_ordered or not set(body.left_out) <= set(row.survivors):
        return "left out are some of the survivors, each once, in ascending order"
    is_ordered = list(body.faulty) == sorted(set(body.faulty))
    dealt = {each.node for each in row.shares}
    named = dealt | native_audits.may_be_named(state, entry, row)
    if not is_ordered or not set(body.faulty) <= named:
        return "lies are of some of those who dealt or were drawn, each once, in ascending order"
    finding = Finding(node=author, after=body.after, left_out=body.left_out, faulty=body.faulty)
    findings = _added(row.findings, finding)
    return findings if isinstance(findings, str) else replace(row, findings=findings)
