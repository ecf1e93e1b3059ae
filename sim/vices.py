"""What a simulated node is in either world: its owner's wishes, and how it may be dishonest."""

import dataclasses
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256, tagged
from ambientd.codec.signing import Signer
from ambientd.codec.state_pages import decode_page, encode_page
from ambientd.codec.statements import sign_receipt, task_id
from ambientd.consensus.messages import (
    Append,
    Offer,
    Pages,
    append_payload,
    block_hash,
    decode_message,
    encode_message,
)
from ambientd.errors import StoreError
from ambientd.ledger.entries import encode_key, word_key
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import VERSIONS
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import (
    CheckProof,
    CheckStep,
    Execute,
    ProveStep,
    Purpose,
    SegmentWanted,
    TraceWanted,
)
from ambientd.model.execution import OutcomeKind
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.message import CommitSent, JobMessage, RevealSent
from ambientd.model.record import Admit, Body, Join, Record
from ambientd.model.task import Result, TaskSpec
from ambientd.model.telemetry import Measure, Observation
from ambientd.node.build import NodeOptions, signer_of
from ambientd.node.core import Node
from ambientd.node.effect import BroadcastFrame, NodeEffect, SendFrame
from ambientd.node.event import Event
from ambientd.node.frames import JOB_BYTES_MAX, JOB_FRAME, LOG_FRAME
from ambientd.ports.store import StoreTable
from ambientd.rules.bundles import is_bundle
from ambientd.telemetry.safe_mode import SafeModeOptions, Threshold
from ambientd.wasm.prepare import REWRITER_VERSION
from sim.boasts import hasty
from sim.bundles import bundle_answer, items_of
from sim.disk import Disk
from sim.lies import Lie
from sim.node_lies import NodeLies
from sim.recalls import Recalls
from sim.replays import Replays
from sim.stood import Stood
from sim.wallets import Notary

Wish = Body | Record

Wanted = Execute | TraceWanted | SegmentWanted | CheckProof | ProveStep | CheckStep
"""What a node asks its device to execute, prove or verify."""


def output_of(module: Digest, data: Digest) -> bytes:
    """Give the output of every honest engine for a module and an input."""
    return tagged("sim/output/1", module, data)


def gas_of(output: bytes, gas_max: int) -> int:
    """Give what an execution with this output costs."""
    return 1 + int.from_bytes(output[:4], "big") % gas_max


def prepared_of(module: Digest) -> Digest:
    """Give the name of a module in its prepared form."""
    return Digest(tagged("sim/prepared/1", module))


def answer_of(spec: TaskSpec, output: bytes, gas: int) -> Result:
    """Give the result that an output is."""
    return Result(
        kind=OutcomeKind.COMPLETED,
        reason="",
        output=Digest(sha256(output)),
        output_size_bytes=min(len(output), spec.output_bytes_max),
        gas=gas,
        prepared=prepared_of(spec.module),
        rewriter_version=REWRITER_VERSION,
    )


def honest_answer(spec: TaskSpec) -> Result:
    """Give the one result that every honest engine has for a task."""
    return answer_by(b"", frozenset(), spec)


class Vice(Enum):
    """What a dishonest node does beside following the protocol."""

    LIE = "answers tasks with what it made up"
    SPLIT = "shows different blocks of one position to different nodes"
    SLOW = "answers long after its lease"
    IDLE = "takes tasks and never answers"
    MUTE = "says nothing as a referee"
    FORGE = "sends answers with a wrong signature"
    MEDDLE = "takes back the tasks of others"
    COLLUDE = "answers tasks with what it and other colluders made up together"
    LAZY = "answers at once with a guess, and executes nothing"
    COPY = "seals a guess, and opens what it learns from others once all are sealed"
    MISLEAD = "offers states of its own making, and other pages than those asked for"
    REVIVE = "says again, as it was and as if it was new, what was said in epochs before"
    RECALL = "coordinates, and brings older words of others on nodes, seats and money back"
    WRONG_OUTPUT = "lies about an execution's end alone, and is true all along before it"
    WRONG_TRACE = "lies about an execution from its first instruction on"
    WRONG_STEP = "takes one false step in an execution, and goes on from there"
    WRONG_ONCE = "is false at one place of an execution, and true behind it but for its end"
    WRONG_EVERYWHERE = "makes up another execution each time it is asked"
    OTHERS_END = "says that its execution stood where the other party's ended"
    ECHO = "says as a party what the other party has said"
    GARBAGE_STATE = "takes one false step, and shows the referees a state that is none"
    STRAY = "answers rightly, and tells of another execution than the one that led there"
    SILENT = "lies, and says nothing as a party"
    TWICE = "lies, and signs two traces of each round"
    TARDY = "lies, and takes its time as a party, at times too much"
    UNPAUSABLE = "lies, and says that it cannot pause the execution"
    POISON = "makes up what its training gave, and answers tasks rightly"
    HOARD = "makes up what its training gave, and shows nobody the rows that it trained on"
    FALSE_PROOF = "answers with a proof that is none, and judges proofs against the truth"
    BOAST = "says that it knows the next state version, whatever it runs, and ends epochs for it"
    HIDDEN_PROOF = "keeps the proof that it names to itself, and judges others' falsely"
    FOREIGN_IMAGE = "proves lies by an image of its own making, and judges others' proofs falsely"
    MISMARK = "marks states that are none, in executions of others, too"


_VICES = tuple(Vice)
PARTY_VICES = _VICES[_VICES.index(Vice.WRONG_OUTPUT) : _VICES.index(Vice.UNPAUSABLE) + 1]
"""What a liar does when its answer is disputed."""
LATER_VICES = (
    *(Vice.MISLEAD, Vice.REVIVE, Vice.RECALL, Vice.POISON, Vice.HOARD),
    *(Vice.FALSE_PROOF, Vice.HIDDEN_PROOF, Vice.FOREIGN_IMAGE, Vice.BOAST, Vice.MISMARK),
    *PARTY_VICES,
)
"""Who misleads comes with short logs, who replays with seats, who recalls with money; who has a
way to play its disputes with large tasks."""
DRAWN_VICES = tuple(vice for vice in Vice if vice not in LATER_VICES)
"""What members are drawn from."""
WORKER_VICES = (Vice.SLOW, Vice.IDLE, Vice.FORGE, Vice.MEDDLE, Vice.LAZY, Vice.COPY)
QUICKLY_COOL = SafeModeOptions(temperature_milli_celsius=Threshold(85_000, 80_000, 0, 3_000))
"""Devices cool faster than real ones, as a world is short."""
SLOW_MS = 10_000
TOO_LATE_MS = 1_000


def work_ms(drawn_ms: int, vices: frozenset[Vice]) -> int:
    """Give how long a worker with these vices takes for what takes an honest one so long."""
    if vices & {Vice.LAZY, Vice.COPY}:
        return 1
    return drawn_ms + (SLOW_MS if Vice.SLOW in vices else 0)


def output_by(
    key: bytes, vices: frozenset[Vice], module: Digest, data: Digest, gas_max: int
) -> tuple[bytes, int]:
    """Give output and gas that a worker answers with."""
    if Vice.LIE in vices:
        return tagged("sim/lie/1", data, key), gas_max
    if vices & (frozenset(PARTY_VICES) - {Vice.STRAY}):
        return tagged("sim/lie/1", data, key), gas_of(output_of(module, data), gas_max)
    if Vice.COLLUDE in vices:
        return tagged("sim/lie/1", data), gas_max
    if vices & {Vice.LAZY, Vice.COPY}:
        return b"42", 1
    output = output_of(module, data)
    return output, gas_of(output, gas_max)


def answer_by(key: bytes, vices: frozenset[Vice], spec: TaskSpec) -> Result:
    """Give the result that a worker answers a task with; of a bundle, item by item."""
    if not is_bundle(spec):
        return answer_of(spec, *output_by(key, vices, spec.module, spec.input, spec.gas_max))
    names, gas_max = map(sha256, items_of(spec.items)), spec.gas_max // spec.items
    made = (output_by(key, vices, spec.module, Digest(name), gas_max) for name in names)
    return bundle_answer(spec, prepared_of(spec.module), made)


class Resident(ABC):
    """A node as scenarios and checkers know it; a host of either world adds how it runs."""

    def __init__(self, options: NodeOptions, dice: random.Random, vices: frozenset[Vice]) -> None:
        self.options = options
        self.signer: Signer = signer_of(options.seed, options.genesis)
        self.key = self.signer.public_key
        self.vices = vices
        self.is_honest = not vices
        self.node: Node | None = None
        self.disk = Disk(self.key)
        self.has_lost_safety = False
        self.has_dropped_out = False
        self.hoarders: frozenset[NodeId] = frozenset()  # who shows nobody its rows
        self.milli_celsius: int | None = None  # where there is no sensor
        self.notary: Notary | None = None
        self.handed: dict[Digest, Stood] = {}  # states that others may go on from
        self.others: Mapping[bytes, Resident] = {}
        self.wanted: dict[bytes, Wish] = {}
        self.versions = self.newest = VERSIONS
        self.once_up: list[Wish] = []  # what its owner says as soon as the node is back
        self._dice = dice
        self._replays = Replays(random.Random(options.seed))
        self._recalls = Recalls(random.Random(options.seed))
        self._allowed: frozenset[NodeId] = frozenset()
        self.lies: NodeLies | None = None

    def tell(self, lies: frozenset[Lie], seed: int) -> None:
        """Tell lies in the log from now on."""
        self.is_honest = False
        self.lies = NodeLies(self.signer, lies, random.Random(seed))

    @abstractmethod
    def clock(self) -> int:
        """Give the time that it goes by; milliseconds."""

    @property
    def ledger(self) -> LedgerState:
        """Give the committed state of a node that is up."""
        assert self.node is not None, "the node is up"
        return self.node.ledger

    def read(self) -> Sequence[Observation]:
        """Read the sensors of its device."""
        if self.milli_celsius is None:
            return ()
        return (Observation(Measure.TEMPERATURE, self.milli_celsius, "sim"),)

    def lose_disk(self) -> None:
        """Get an empty disk; what its key signed is forgotten, so it must never vote again.

        A founder, whose mark is gone with the folder, has to hear that from the others.
        """
        has_spoken = self._has_spoken()
        self.disk = Disk(self.key)
        self.handed = {}
        if self.notary is not None:
            self.notary.lose_disk()
        if not has_spoken:
            self._vote_no_more()
            return
        self.has_lost_safety = True
        self.options = dataclasses.replace(self.options, is_first_start=True)

    def _has_spoken(self) -> bool:
        """Tell whether the others have a founder's word, as far as its disk still shows it."""
        own = NodeId(self.key)
        if all(member.node != own for member in self.options.genesis.members):
            return False
        name = encode_key(word_key(Topic.NODES, own))
        try:
            return self.disk.get(StoreTable.LEDGER, name) is not None
        except StoreError:
            return False

    def lose_safety(self) -> None:
        """Lose what was voted for, and nothing else."""
        self.disk.forget(StoreTable.SAFETY)
        self._vote_no_more()

    def drop_out(self) -> None:
        """Do nothing more for rounds of federated learning, until its device is back."""
        self.has_dropped_out = True

    def _vote_no_more(self) -> None:
        """Do as the daemon does that finds its mark and no safety state."""
        self.has_lost_safety = True
        self.options = dataclasses.replace(self.options, may_vote=False, is_first_start=False)

    # What its owner wants

    def keep(self, wish: Wish) -> None:
        """Remember what the owner wants for the next start."""
        self.wanted[sha256(repr(wish).encode())] = wish

    def open_wishes(self, ledger: LedgerState) -> list[Wish]:
        """Give what the ledger does not show yet, and forget the rest."""
        for name, wish in list(self.wanted.items()):
            if self._is_granted(wish, ledger):
                del self.wanted[name]
        return list(self.wanted.values())

    @abstractmethod
    def want(self, wish: Wish, now: int) -> Sequence[object]:
        """Take what the owner wants, across crashes, until the ledger shows it."""

    @abstractmethod
    def feed(self, events: Sequence[Event], now: int) -> Sequence[object]:
        """Hand events over as they are."""

    def _is_granted(self, wish: Wish, ledger: LedgerState) -> bool:
        if isinstance(wish, Admit):
            is_there = ledger.task(task_id(NodeId(self.key), wish.nonce, wish.spec)) is not None
            is_over = 0 < wish.spec.deadline_ms <= ledger.meta.time_ms
            return is_there or is_over or ledger.meta.time_ms > wish.until_ms + TOO_LATE_MS
        if isinstance(wish, Record) and isinstance(wish.body, Join):
            return ledger.node(wish.body.node) is not None
        return True

    # How it lies to others

    def declines(self, effect: Wanted) -> bool:
        """Tell whether it lets a task lie, against all rules."""
        shirking = {Purpose.SLOT: Vice.IDLE, Purpose.TRACE: Vice.SILENT}
        return shirking.get(effect.assignment.purpose, Vice.MUTE) in self.vices

    def twisted(self, effect: NodeEffect) -> list[NodeEffect]:
        """Forge answers, replay, make two of an equivocator's proposal, each for some others."""
        if self.lies is not None and self.node is not None:
            said = self.lies.twisted(effect, self.node.consensus, self.clock())
            return [bent for each in said for bent in self._with_vices(each)]
        return self._with_vices(effect)

    def _with_vices(self, effect: NodeEffect) -> list[NodeEffect]:
        if Vice.RECALL in self.vices and self.node is not None:
            self._recalls.enter(self.node.consensus._pool)
        if Vice.BOAST in self.vices and isinstance(effect, BroadcastFrame):
            effect = BroadcastFrame(hasty(effect.frame, self.signer, self.node, self._dice))
        if Vice.REVIVE in self.vices and isinstance(effect, BroadcastFrame | SendFrame):
            return [*self._bent(effect), *self._replayed(effect.frame)]
        return self._bent(effect)

    def _replayed(self, frame: bytes) -> list[NodeEffect]:
        """Say again to all what was said in epochs before."""
        if frame[:1] != LOG_FRAME or self.node is None:
            return []
        now = self.node.consensus.options
        again = self._replays.again(decode_message(frame[1:]), now.epoch, now.members)
        return [BroadcastFrame(LOG_FRAME + encode_message(each)) for each in again]

    def _bent(self, effect: NodeEffect) -> list[NodeEffect]:
        if isinstance(effect, SendFrame):
            frame = _forged(effect.frame) if Vice.FORGE in self.vices else effect.frame
            frame = _misleading(frame) if Vice.MISLEAD in self.vices else frame
            frame = self._copied(frame) if Vice.COPY in self.vices else frame
            return [SendFrame(effect.to, frame)]
        if Vice.SPLIT not in self.vices or not isinstance(effect, BroadcastFrame):
            return [effect]
        if effect.frame[:1] != LOG_FRAME or self._dice.randrange(3):
            return [effect]
        message = decode_message(effect.frame[1:])
        if not isinstance(message, Append) or message.header.proposer != self.key:
            return [effect]
        twin = BroadcastFrame(LOG_FRAME + encode_message(self._twin(message)))
        if self._dice.randrange(2):
            return [effect, twin] if self._dice.randrange(2) else [twin, effect]
        others = sorted(self._allowed - {self.key})
        halves = [effect if self._dice.randrange(2) else twin for _ in others]
        return [SendFrame(to, each.frame) for to, each in zip(others, halves, strict=True)]

    def answer(self, spec: TaskSpec) -> Result:
        """Give what it says the task comes to."""
        return answer_by(self.key, self.vices, spec)

    def _copied(self, frame: bytes) -> bytes:
        """Open what the others hand out once all answers are sealed, not what it has sealed."""
        if frame[:1] != JOB_FRAME:
            return frame
        message: JobMessage = decode(frame[1:], JobMessage, JOB_BYTES_MAX)
        if not isinstance(message, RevealSent):
            return frame
        receipt = message.receipt.receipt
        entry = self.ledger.task(receipt.task)
        if entry is None:
            return frame
        copied = replace(receipt, result=honest_answer(entry.spec))
        return JOB_FRAME + encode(RevealSent(receipt=sign_receipt(self.signer, copied)))

    def _twin(self, append: Append) -> Append:
        """Sign another block at the same position."""
        header = append.header
        twin = replace(header, time_ms=header.time_ms + 1)
        payload = append_payload(FIRST_EPOCH, block_hash(twin))
        signature = self.signer.sign("append", payload)
        return Append(twin, append.qc, append.tc, append.records, signature)


def _forged(frame: bytes) -> bytes:
    """Put a wrong signature under the answer in a frame, if there is one."""
    if frame[:1] != JOB_FRAME:
        return frame
    message: JobMessage = decode(frame[1:], JobMessage, JOB_BYTES_MAX)
    match message:
        case CommitSent(commit=commit):
            message = CommitSent(commit=replace(commit, signature=_wrong(commit.signature)))
        case RevealSent(receipt=receipt):
            message = RevealSent(receipt=replace(receipt, signature=_wrong(receipt.signature)))
        case _:
            return frame
    return JOB_FRAME + encode(message)


def _misleading(frame: bytes) -> bytes:
    """Make the state of an offer up, or change a page."""
    if frame[:1] != LOG_FRAME:
        return frame
    message = decode_message(frame[1:])
    match message:
        case Offer(snapshot=snapshot):
            # One page of the true state, so that all who have the snapshot can give it.
            *known, (last, qc) = snapshot.links
            digest = next(reversed(snapshot.pages))[1]
            links = (*known, (replace(last, state_root=digest), qc))
            message = replace(
                message, snapshot=replace(snapshot, links=links, pages=((0, digest),))
            )
        case Pages(pages=(first, *rest)):
            entries = decode_page(first)[1]
            lie = encode_page(tuple((key, value + b"\x00") for key, value in entries))
            message = Pages((lie, *rest))
        case _:
            return frame
    return LOG_FRAME + encode_message(message)


def _wrong(signature: bytes) -> bytes:
    """Give a signature that never was, or one that seems to stand for a batch with this answer."""
    if signature[-1] % 2:
        return bytes(64)
    return signature[:64] + b"\x00\x02\x00\x01" + sha256(signature)
