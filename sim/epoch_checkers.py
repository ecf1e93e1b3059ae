"""What must hold across epochs; within one, the checkers of `sim.checkers` judge."""

from collections.abc import Callable

from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.effects import Committed, PersistSafety
from ambientd.consensus.epochs import ReadStop, end_fault, verify_epoch_chain
from ambientd.consensus.messages import (
    Append,
    Message,
    Timeout,
    Vote,
    block_hash,
)
from ambientd.consensus.options import ConsensusOptions
from sim.checkers import (
    Certificates,
    Checker,
    CommitProofs,
    InvariantViolation,
    JustifiedVotes,
    OneProposal,
    VoteDiscipline,
)
from sim.disk import DiskLost
from sim.judge import Judge
from sim.machine import Effect, Host
from sim.replica import Replica, read_stop, unlabelled


class WithinEpochs(Checker):
    """Hands what belongs to one epoch to checkers that know no other."""

    def __init__(
        self,
        first: ConsensusOptions,
        more: Callable[[ConsensusOptions], list[Checker]] = lambda _: [],
    ) -> None:
        self._first = first.epoch
        self._more = more
        self._options = {first.epoch: first}
        self._checkers = {first.epoch: self._of(first)}
        self._early: dict[int, list[tuple[Host, Message, int]]] = {}

    def _of(self, options: ConsensusOptions) -> list[Checker]:
        return [*_checkers(options), *self._more(options)]

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Take the label off."""
        told = unlabelled(message, self._first)
        if told is None:
            return
        epoch, inner = told
        if epoch not in self._checkers:
            self._early.setdefault(epoch, []).append((node, inner, now))
        for checker in self._checkers.get(epoch, ()):
            checker.saw_message(node, inner, now)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Meet new epochs through honest nodes; judge what they do in theirs."""
        if not node.is_honest or not isinstance(node, Replica) or node.machine is None:
            return
        options = node.machine.options
        known = self._options.setdefault(options.epoch, options)
        if (known.members, known.seed, known.root) != (
            options.members,
            options.seed,
            options.root,
        ):
            text = f"two beginnings of epoch {options.epoch} by {now} ms"
            raise InvariantViolation("one root an epoch", text)
        if options.epoch not in self._checkers:
            self._checkers[options.epoch] = self._of(options)
            for early in self._early.pop(options.epoch, []):
                for checker in self._checkers[options.epoch]:
                    checker.saw_message(*early)
        for checker in self._checkers[options.epoch]:
            checker.saw_effect(node, effect, now)


def _checkers(options: ConsensusOptions) -> list[Checker]:
    return [
        VoteDiscipline(),
        OneProposal(),
        JustifiedVotes(options),
        EndProofs(options),
        Certificates(options),
        OwnCertificates(options),
    ]


class EndProofs(CommitProofs):
    """A commit is proven, and one that ends the epoch by what it shows to others."""

    def __init__(self, options: ConsensusOptions, read: ReadStop = read_stop) -> None:
        super().__init__(options)
        self._options = options
        self._verifier = Verifier(options, Committee(options.members, options.seed))
        self._read = read

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge the proof of an end; what comes before it are ancestors."""
        if not node.is_honest or not isinstance(effect, Committed) or effect.end is None:
            super().saw_effect(node, effect, now)
            return
        fault = end_fault(effect.end, self._options, self._verifier, self._read)
        if not all(self._judge.qc_holds(qc) for _, qc in effect.end.links):
            fault = fault or "a link is not certified"
        after = effect.end.links[0][0]
        for block in reversed(effect.blocks):
            if block_hash(after) not in (block.hash, block.child_qc.hash):
                fault = fault or "the blocks do not lead to the stop"
            after = block.block.header
        if fault is not None:
            raise InvariantViolation("a commit is proven", f"{fault}, {now} ms")


class OwnCertificates(Checker):
    """What an honest member keeps was certified by the committee of the epoch it keeps it for."""

    def __init__(self, options: ConsensusOptions) -> None:
        self._epoch = options.epoch
        self._judge = Judge(options)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge safety states."""
        if not node.is_honest or not isinstance(effect, PersistSafety):
            return
        state = effect.state
        holds = effect.epoch == self._epoch and self._judge.qc_holds(state.high_qc)
        if not holds or (state.tc is not None and not self._judge.tc_holds(state.tc)):
            text = f"a node keeps what epoch {self._epoch} did not certify, {now} ms"
            raise InvariantViolation("certificates of an old epoch are refused", text)


class EndsAreFinal(Checker):
    """Nothing counts behind a stop, and who saw an epoch end signs nothing in it again."""

    def __init__(self, first: ConsensusOptions, read: ReadStop | None = None) -> None:
        self._first = first.epoch
        # Whole nodes keep first what several events ask them to keep, and then send for all.
        self._keeps_first = read is not None
        self._read = read or read_stop
        self._reached: dict[bytes, int] = {}
        self._reached_at: dict[bytes, int] = {}
        self.ended = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look for stops in commits; who lost its disk begins anew."""
        if isinstance(effect, DiskLost):
            self.saw_leap(node, self._first, now)
        if not node.is_honest or not isinstance(effect, Committed):
            return
        stops = [any(map(self._read, block.block.records)) for block in effect.blocks]
        if any(stops[:-1]) or stops[-1] != (effect.end is not None):
            text = f"a block behind a stop is committed at {now} ms"
            raise InvariantViolation("nothing counts after the stop", text)
        if stops[-1]:
            self._reached[node.key] = self._reached.get(node.key, self._first) + 1
            self._reached_at[node.key] = now
            self.ended = max(self.ended, self._reached[node.key] - self._first)

    def saw_leap(self, node: Host, epoch: int, now: int) -> None:
        """Note that a node went over to a later state, and to its epoch."""
        self._reached[node.key] = epoch
        self._reached_at[node.key] = now

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Judge what honest nodes sign."""
        told = unlabelled(message, self._first)
        if not node.is_honest or told is None:
            return
        epoch, inner = told
        is_signed = isinstance(inner, Vote | Timeout | Append)
        if self._keeps_first and self._reached_at.get(node.key) == now:
            return
        if is_signed and epoch != self._reached.get(node.key, self._first):
            text = f"a {type(inner).__name__} of epoch {epoch} at {now} ms"
            raise InvariantViolation("an epoch that is over gets no signature", text)


def check_chains(first: ConsensusOptions, replicas: list[Replica]) -> None:
    """Let a stranger follow the epochs by each honest node's proofs alone."""
    for replica in replicas:
        assert replica.machine is not None
        if any(end.record not in replica.store.dues for end in replica.store.ends_known):
            raise InvariantViolation("epochs end as the ledger wants", "one ended otherwise")
        found = verify_epoch_chain(first, replica.store.ends_known, read_stop)
        if isinstance(found, str):
            raise InvariantViolation("the epochs are proven", found)
        own = replica.machine.options
        if (found.epoch, found.members, found.root) != (own.epoch, own.members, own.root):
            raise InvariantViolation("the epochs are proven", f"to epoch {found.epoch} only")
