"""Bugs of the log: votes, time-outs, certificates, commits, what is persisted."""

import dataclasses
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ambientd.consensus import follower, judging, voter
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import Effect, PersistSafety
from ambientd.consensus.forwarding import Forwarding
from ambientd.consensus.messages import GENESIS, Header, Position, QuorumCertificate
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.pacemaker import Pacemaker
from ambientd.consensus.safety import SafetyRules, SafetyState
from ambientd.model.genesis import FIRST_EPOCH
from sim.mutants.patch import Mutant, Patch, always, passing_over

NEVER_MS = 10**15


class _SmallQuorum(Committee):
    def __init__(self, members: tuple[bytes, ...], seed: bytes) -> None:
        super().__init__(members, seed)
        self.quorum = max(1, self.quorum - 1)


class _TrustsCertificates(Verifier):
    def qc_holds(self, qc: QuorumCertificate) -> bool:
        return qc == self.genesis or self._is_quorum([number for number, _ in qc.signatures])


class _CountsVotesTwice(Verifier):
    def _is_quorum(self, numbers: list[int]) -> bool:
        return len(numbers) >= self._committee.quorum


class _TrustsTimeouts(Verifier):
    def timeout_is_signed(self, *_: object) -> bool:
        return True


class _TakesOlderEpochs(Verifier):
    def __init__(self, options: ConsensusOptions, committee: Committee) -> None:
        super().__init__(options, committee)
        older = dataclasses.replace(options, epoch=options.epoch - 1)
        self._older = _TakesOlderEpochs(older, committee) if older.epoch >= FIRST_EPOCH else None

    def qc_holds(self, qc: QuorumCertificate) -> bool:
        older = self._older
        return super().qc_holds(qc) or (older is not None and older.qc_holds(qc))

    def timeout_is_signed(
        self, term: int, high_position: Position, member: int, signature: bytes
    ) -> bool:
        said, older = (term, high_position, member, signature), self._older
        is_signed = super().timeout_is_signed(*said)
        return is_signed or (older is not None and older.timeout_is_signed(*said))


class _TrustsBlocks(Verifier):
    def block_is_signed(self, *_: object) -> bool:
        return True


def _admits_little(_: object) -> object:
    def admitted(
        _: SafetyRules, state: SafetyState, genesis: QuorumCertificate
    ) -> QuorumCertificate:
        begun = state.tc is not None and state.high_qc.position.term <= state.tc.term
        return genesis if begun else state.high_qc

    return admitted


def _commits_across_terms(_: object) -> object:
    return lambda _, child: child.position.index > 1


def _persisting(change: Callable[[SafetyState], SafetyState | None]) -> Callable[[Any], object]:
    """Change what is persisted of the safety state, or forget it."""

    def make(handle: Callable[..., list[Effect]]) -> object:
        def forgetful(self: Consensus, event: object, *, now: int) -> list[Effect]:
            effects: list[Effect] = []
            for effect in handle(self, event, now=now):
                if isinstance(effect, PersistSafety):
                    state = change(effect.state)
                    effects += [] if state is None else [PersistSafety(state)]
                else:
                    effects.append(effect)
            return effects

        return forgetful

    return make


def _proposes_again(init: Callable[..., None]) -> object:
    def unbarred(self: Consensus, *arguments: object, **named: object) -> None:
        init(self, *arguments, **named)
        self._barred_term = 0

    return unbarred


def _without_tenure(deadline: property) -> object:
    def without(pacemaker: Pacemaker) -> int:
        entered_at, pacemaker.entered_at = pacemaker.entered_at, NEVER_MS
        try:
            return int(deadline.__get__(pacemaker))
        finally:
            pacemaker.entered_at = entered_at

    return property(without)


def _goes_back(learn: Callable[..., None]) -> object:
    def gullible(self: follower.Follower, qc: QuorumCertificate, source: bytes, now: int) -> None:
        if GENESIS < qc.position < self._safety.high_qc.position:
            self._safety = replace(self._safety, high_qc=qc)
        learn(self, qc, source, now)

    return gullible


def _skips_indexes(_: object) -> object:
    def follows(_: SafetyRules, header: Header, parent: QuorumCertificate) -> bool:
        return header.index > parent.position.index

    return follows


def _rule(name: str, text: str, *clauses: str) -> Mutant:
    """Leave clauses of the vote rule out."""
    return Mutant(name, text, tuple(Patch(SafetyRules, each, always(True)) for each in clauses))


def _trust(name: str, text: str, verifier: type[Verifier], lie: str) -> Mutant:
    return Mutant(name, text, (Patch(follower, "Verifier", lambda _: verifier),), lies=(lie,))


LOG_MUTANTS = (
    _rule("no-timeout-certificate", "votes in a new term without its excuse", "term_is_justified"),
    _rule("votes-after-timeout", "votes in a term it gave up", "term_is_open"),
    _rule("votes-twice", "votes again at a position", "position_is_new", "first_vote_in_term"),
    Mutant(
        "commits-across-terms",
        "commits a block whose child is of another term",
        (Patch(SafetyRules, "commits_parent", _commits_across_terms),),
    ),
    Mutant(
        "admits-little",
        "times out showing an old certificate",
        (Patch(SafetyRules, "admitted_qc", _admits_little),),
    ),
    Mutant(
        "small-quorum",
        "takes one vote less than a quorum",
        (Patch(follower, "Committee", lambda _: _SmallQuorum),),
    ),
    Mutant(
        "forgets-votes",
        "never persists its safety state",
        (Patch(Consensus, "handle", _persisting(lambda _: None)),),
    ),
    Mutant(
        "forgets-timeouts",
        "persists its votes, not its time-outs",
        (Patch(Consensus, "handle", _persisting(lambda s: replace(s, max_timed_out=0))),),
    ),
    Mutant(
        "proposes-again",
        "proposes after a restart in a term that it had begun before",
        (Patch(Consensus, "__init__", _proposes_again),),
    ),
    _trust(
        "trusts-certificates",
        "does not check a certificate's signatures",
        _TrustsCertificates,
        "forge_certificate",
    ),
    _trust(
        "counts-votes-twice",
        "takes one member's vote q times",
        _CountsVotesTwice,
        "forge_certificate",
    ),
    _trust(
        "trusts-timeouts", "does not check a time-out's signature", _TrustsTimeouts, "forge_timeout"
    ),
    _trust("trusts-blocks", "does not check a proposer's signature", _TrustsBlocks, "impersonate"),
    Mutant(
        "takes-older-epochs",
        "takes what was signed in an epoch before for signed in the present one",
        (Patch(follower, "Verifier", lambda _: _TakesOlderEpochs),),
        "node-seats",
        lies=("revive",),
    ),
    Mutant(
        "any-proposer",
        "takes blocks from members that do not coordinate",
        (Patch(follower, "shape_fault", passing_over("the proposer does not coordinate")),),
        lies=("usurp",),
    ),
    Mutant(
        "any-time",
        "takes a block dated before its parent",
        (Patch(voter, "verdict", passing_over("block time")),),
        lies=("backdate",),
    ),
    Mutant(
        "bears-standstill",
        "votes for blocks however far they are behind its clock",
        (Patch(judging, "_earliest_ms", always(0)),),
        scenario="log-liars",
        lies=("stall",),
    ),
    Mutant(
        "any-state-root",
        "votes for a state root that is not its own",
        (Patch(voter, "verdict", passing_over("the state root at index")),),
        lies=("false_root",),
    ),
    Mutant(
        "any-body",
        "takes other records than the header names",
        (Patch(follower, "records_fault", passing_over("the records are not those")),),
        lies=("swap_body",),
    ),
    Mutant(
        "any-record",
        "votes for a record that is not valid",
        (Patch(follower, "records_fault", passing_over("the block holds an invalid")),),
        lies=("garbage",),
    ),
    Mutant(
        "repeats-records",
        "votes for a record that is in a block twice",
        (Patch(follower, "records_fault", passing_over("a record is in the block twice")),),
        lies=("repeat",),
    ),
    Mutant(
        "never-gives-up",
        "waits for ever for a coordinator",
        (Patch(Pacemaker, "deadline", lambda _: property(lambda _: NEVER_MS)),),
    ),
    Mutant(
        "bears-censors",
        "lets a coordinator leave records out for ever",
        (Patch(Forwarding, "is_censored", always(False)),),
        scenario="log-liars",
        lies=("censor",),
    ),
    Mutant(
        "never-hands-over",
        "leaves a coordinator in office for ever",
        (Patch(Pacemaker, "deadline", _without_tenure),),
        scenario="log-tenures",
    ),
    Mutant(
        "never-serves",
        "answers nobody who fetches",
        (Patch(follower.Follower, "_on_fetch", always(None)),),
    ),
    Mutant(
        "goes-back",
        "believes an older certificate after a newer one",
        (Patch(follower.Follower, "_learn_qc", _goes_back),),
    ),
)
