"""The log across epochs: one `Consensus` at a time, swapped at the stop (section 11).

The host owes this class what it owes `Consensus`, and two things more: it keeps the proof in a
`Committed` with `end` for good, in one write with the rest of it; and it says `Applied` after
that. The old epoch is then over for this node: it signs nothing in it any more, and shows the
proof to whoever is still there.
"""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from ambientd.codec import merkle
from ambientd.consensus import beacon
from ambientd.consensus.catch_up import (
    FETCHERS_MAX,
    EpochSource,
    EvidenceLimit,
    FetchLimit,
    serve_ended,
)
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import (
    Broadcast,
    Committed,
    Effect,
    PeerFault,
    PersistSafety,
    RecordRefused,
    Send,
    SnapshotFetched,
    VoteDecided,
)
from ambientd.consensus.epochs import Stops, next_options, trust_fault, verify_epoch_chain
from ambientd.consensus.events import (
    Applied,
    Event,
    Installed,
    MessageReceived,
    RecordsSubmitted,
    RecordSubmitted,
    Started,
)
from ambientd.consensus.first_start import ABOVE_ALL, FirstStart, Past, is_forward
from ambientd.consensus.judging import StateRootAt
from ambientd.consensus.messages import (
    ENDS_MAX,
    Blocks,
    EpochEnd,
    EpochMessage,
    Epochs,
    EvidenceMessage,
    Fetch,
    Forward,
    InEpoch,
    Message,
    Offer,
    Pages,
    QcNotice,
    WantPages,
)
from ambientd.consensus.options import ConsensusOptions, LogSigner, Random
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyRules
from ambientd.consensus.snapshots import SnapshotFetcher, SnapshotServer
from ambientd.errors import ConfigError


class Log:
    """One node's part in the log, whatever the epoch."""

    def __init__(  # noqa: PLR0913  # the questions that a host answers, one each
        self,
        first: ConsensusOptions,
        signer: LogSigner,
        restored: Restored | None,
        rng: Random,
        *,
        is_valid: Callable[[bytes, int], bool],
        state_root: StateRootAt,
        blocks: EpochSource,
        stops: Stops,
        may_enter: Callable[[bytes], bool] = lambda _: True,
        secret_of: Callable[[bytes], bytes] | None = None,
        rules: SafetyRules | None = None,
        past: Past | None = None,
    ) -> None:
        """With `past`, nothing here tells if the key is new: it is to be found out first."""
        self._first = first
        self._first_start: FirstStart | None = None
        if past is not None:
            first.require_beacon_secret()
            self._first = replace(first, may_vote=False)
            self._first_start = FirstStart(first.self_id, past, first.t0_ms // 2)
        self._secret_of = secret_of or (lambda _: first.beacon_secret)
        self._source = blocks
        self._stops = stops
        self._limit = FetchLimit(first)
        self._hint_limit = FetchLimit(first)
        self._late_limit = EvidenceLimit(first)
        self._ended: Committed | None = None
        self._server = SnapshotServer(first, blocks)
        self._fetcher = SnapshotFetcher(first, stops.read)
        self._fetched: SnapshotFetched | None = None
        self._declined: set[bytes] = set()
        """Nodes that offered a snapshot to this node, which begins and wants every block."""
        self._beyond: ConsensusOptions | None = None
        """A later epoch that is proven, of a state version that this program does not know."""

        def epoch(options: ConsensusOptions, restored: Restored | None) -> Consensus:
            return Consensus(
                options,
                signer,
                restored,
                rng,
                is_valid=lambda record: is_valid(record, options.state_version),
                state_root=state_root,
                blocks=blocks,
                may_enter=may_enter,
                stops=stops,
                rules=rules,
            )

        self._epoch = epoch
        end = None if restored is None else restored.end
        self._before = end
        """How the epoch before the present one ended; None in the first."""
        self.current = epoch(self._present_options(), restored)
        self._is_fresh = end is not None and restored is not None and restored.safety is None
        self._require_trusted()

    def _require_trusted(self) -> None:
        """Refuse a store that went another way than through the epoch that the owner trusts."""
        trusted = self._first.trusted
        if trusted is None or self.number < trusted.number:
            return
        known = self._options_of(trusted.number)
        fault = "it is not kept here" if known is None else trust_fault(known)
        if fault is not None:
            msg = f"this node's log does not pass the trusted epoch: {fault}; compare it elsewhere"
            raise ConfigError(msg)

    @property
    def number(self) -> int:
        """Give the present epoch's number."""
        return self.current.options.epoch

    @property
    def unknown(self) -> ConsensusOptions | None:
        """Give the proven epoch whose state version this program does not know; None for none.

        From then on this node signs nothing; it still shows others what it has.
        """
        return self._beyond if self.current.options.is_known else self.current.options

    @property
    def next_deadline(self) -> int | None:
        """Give when the host must send the next Tick; None when nothing is due, ever."""
        if self.unknown is not None:
            return None
        due = [self.current.next_deadline, self._fetcher.deadline]
        if self._first_start is not None:
            due.append(self._first_start.deadline)
        return min((at for at in due if at is not None), default=None)

    @property
    def wants_all(self) -> bool:
        """Tell whether this node wants every block and takes a snapshot only for want of them.

        A founder does while it asks whether its key is new (§4): they may show that it was used.
        """
        return self._first.is_whole or self.is_first_start

    @property
    def is_first_start(self) -> bool:
        """Tell whether it is not known yet if this key has signed before: it signs nothing."""
        return self._first_start is not None

    def handle(self, event: Event, *, now: int) -> list[Effect]:
        """Advance by one event; persist effects come before send effects."""
        if self.unknown is not None:
            return self._look_on(event, now)
        if isinstance(event, MessageReceived):
            effects = self._on_message(event.sender, event.message, now)
        else:
            effects = self._on_event(event, now)
        if self._fetcher.is_fetching:
            effects += self._fetch_pages(now)
        if self._first_start is not None:
            effects = self._see_to(self._first_start, event, effects, now)
        return effects

    def _look_on(self, event: Event, now: int) -> list[Effect]:
        """Show peers what is here, and take nothing in: the rules of what follows are not known."""
        told = "" if self.unknown is None else self.unknown.unknown_text
        match event:
            case MessageReceived(sender=sender, message=message):
                return self._show(sender, message, now)
            case RecordSubmitted(record=record):
                return [RecordRefused(merkle.leaf_hash(record), told)]
            case RecordsSubmitted(records=records):
                return [RecordRefused(merkle.leaf_hash(each), told) for each in records]
            case _:
                return []

    def _show(self, sender: bytes, message: Message, now: int) -> list[Effect]:
        """Give what a peer asks for, as far as it is here."""
        if isinstance(message, WantPages):
            return self._server.pages(sender, message, now)
        epoch = self._first.epoch
        if isinstance(message, InEpoch):
            epoch, message = message.epoch, message.message
        if not isinstance(message, Fetch) or epoch > self.number:
            return []
        offer = self._server.offer(sender, epoch, message.after, now)
        if offer is not None or epoch == self.number:
            return offer or []
        return self._labelled(self._help(sender, epoch, message, now), epoch)

    def _on_event(self, event: Event, now: int) -> list[Effect]:
        if isinstance(event, Installed):
            return self._go_on_from(event, now)
        if isinstance(event, Applied) and self._ended is not None:
            return self._begin_next(self._ended, event.awaited_ms, now)
        if isinstance(event, Started) and self._is_fresh:
            return self._labelled(self.current.begin(awaited_ms=event.awaited_ms, now=now))
        return self._labelled(self.current.handle(event, now=now))

    # From one epoch to the next.

    def _options_after(self, end: EpochEnd) -> ConsensusOptions:
        begins = self._stops.read(end.record)
        assert begins is not None, "the host kept a proof whose record ends no epoch"
        options = next_options(self._first, begins, end.index, end.hash)
        if not options.is_known:
            return replace(options, may_vote=False)
        tips = dict(zip(begins.members, begins.beacon_tips, strict=True))
        tip = tips.get(options.self_id)
        if tip is None or not options.may_vote:
            return options
        secret = self._secret_of(tip)
        if tip != beacon.tip(secret):
            return replace(options, may_vote=False)  # its owner named a tip that leads nowhere
        return replace(options, beacon_secret=secret)

    def _present_options(self) -> ConsensusOptions:
        return self._first if self._before is None else self._options_after(self._before)

    def _options_of(self, epoch: int) -> ConsensusOptions | None:
        """Give the options of a past epoch; None when there was none of that number."""
        if epoch == self._first.epoch:
            return self._first
        ends = self._source.ends(epoch - 1, 1) if epoch > self._first.epoch else ()
        return self._options_after(ends[0]) if ends else None

    def _begin_next(self, ended: Committed, awaited_ms: int | None, now: int) -> list[Effect]:
        """Swap the epochs; who led the old one or leads the new one shows the others how."""
        assert ended.end is not None
        self._ended, self._before = None, ended.end
        before, options = self.current, self._present_options()
        restored = Restored(None, ended.blocks[-1], ended.beacons, end=ended.end)
        self.current = self._epoch(options, restored)
        self.current.inherit(before)
        effects = self._labelled(self.current.begin(awaited_ms=awaited_ms, now=now))
        if before.is_coordinator or self.current.is_coordinator:
            notice = Broadcast(Epochs(before.options.epoch, (ended.end,)))
            persists = sum(isinstance(effect, PersistSafety) for effect in effects)
            effects.insert(persists, notice)
        return effects

    def _labelled(self, effects: list[Effect], epoch: int | None = None) -> list[Effect]:
        """Say in which epoch a message belongs, but for the first; note an end."""
        if not effects:
            return effects
        number = self.number if epoch is None else epoch
        for effect in effects:
            if isinstance(effect, Committed) and effect.end is not None:
                self._ended = effect
        if number == self._first.epoch:
            return effects
        labelled: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Send):
                labelled.append(Send(effect.to, self._label(effect.message, number)))
            elif isinstance(effect, Broadcast):
                labelled.append(Broadcast(self._label(effect.message, number)))
            else:
                labelled.append(effect)
        return labelled

    def _label(self, message: Message, number: int) -> Message:
        if isinstance(message, Forward | InEpoch | Epochs | Offer | WantPages | Pages):
            return message
        return InEpoch(number, message)

    # Messages.

    def _on_message(self, sender: bytes, message: Message, now: int) -> list[Effect]:
        match message:
            case Epochs():
                return self._labelled(self._on_epochs(sender, message, now))
            case Forward():
                return self._labelled(self._hand_over(sender, message, now))
            case Offer():
                return self._on_offer(sender, message, now)
            case WantPages():
                return self._server.pages(sender, message, now)
            case Pages():
                before = self._fetcher.progress
                fault = self._fetcher.take_pages(sender, message, now)
                self._see_progress(before, now)
                return [] if fault is None else [PeerFault(sender, fault)]
            case InEpoch():
                return self._on_epoch_message(sender, message.epoch, message.message, now)
            case _:
                return self._on_epoch_message(sender, self._first.epoch, message, now)

    def _hand_over(self, sender: bytes, message: Message, now: int) -> list[Effect]:
        return self.current.handle(MessageReceived(sender, message), now=now)

    def _on_epoch_message(
        self, sender: bytes, epoch: int, message: EpochMessage, now: int
    ) -> list[Effect]:
        if epoch > self.number:
            return self._labelled(self.current.fall_behind(sender, now=now))
        if isinstance(message, Fetch):
            offer = self._server.offer(sender, epoch, message.after, now)
            if offer is not None:
                return offer
        if epoch == self.number:
            return self._labelled(self._hand_over(sender, message, now))
        if isinstance(message, EvidenceMessage):
            return self._labelled(self._judge_late(sender, epoch, message, now), epoch)
        return self._labelled(self._help(sender, epoch, message, now), epoch)

    def _on_epochs(self, sender: bytes, message: Epochs, now: int) -> list[Effect]:
        ours = self.number - message.first
        if not 0 <= ours < len(message.ends):
            return []
        options = self.current.options
        if not options.is_trusted and not self.current.knows_end:
            found = verify_epoch_chain(options, message.ends[ours:], self._stops.read)
            if isinstance(found, str):
                return [PeerFault(sender, found)]
            if not found.is_trusted:
                return self.current.fall_behind(sender, now=now)
        return self.current.learn_end(sender, message.ends[ours], now=now)

    def _help(self, sender: bytes, epoch: int, message: EpochMessage, now: int) -> list[Effect]:
        """Show a node in an epoch that is over how it ended, and its blocks when it asks."""
        is_fetch = isinstance(message, Fetch)
        limit = self._limit if is_fetch else self._hint_limit
        if epoch < self._first.epoch or not limit.allows(sender, now):
            return []
        ends = tuple(self._source.ends(epoch, ENDS_MAX if is_fetch else 1))
        if not ends:
            return []
        answers: list[Effect] = [Send(sender, Epochs(epoch, ends))]
        if isinstance(message, Fetch):
            blocks = serve_ended(message.after, ends[0], self._source, self._first)
            if blocks is not None:
                answers.append(Send(sender, blocks))
        return answers

    def _judge_late(
        self, sender: bytes, epoch: int, message: EvidenceMessage, now: int
    ) -> list[Effect]:
        """Convict a member of an epoch that is over."""
        options = self._options_of(epoch) if self._late_limit.allows(sender, now) else None
        if options is None:
            return []
        committee = Committee(options.members, options.seed)
        culprit = Verifier(options, committee).culprit(message.evidence)
        if culprit is None:
            return [PeerFault(sender, "the evidence proves nothing")]
        if committee.number(culprit) is None:
            return []
        return self.current.convict_of(epoch, culprit, message.evidence)

    # The first start of a founder's key.

    def _see_to(
        self, start: FirstStart, event: Event, effects: list[Effect], now: int
    ) -> list[Effect]:
        """Ask how far the log is, and decide once this node is as far; give all there is to do."""
        committee = self.current.committee
        start.enter(self.number)
        # What this key has in the log shall tell that it was used: so nothing new goes there.
        effects = [each for each in effects if not is_forward(each)]
        if isinstance(event, MessageReceived):
            effects += self._take_answer(start, event, now)
        if self.current.has_signed_before or any(map(start.shows_use, effects)):
            self._first_start = None
            return [VoteDecided(may_vote=False), *effects]
        asked = start.asks(committee, now)
        if not self.current.is_behind:  # else the blocks come first: nobody answers twice at once
            effects += self._labelled([Send(key, Fetch(ABOVE_ALL)) for key in asked])
        # The host has not applied yet what is new here: it says when it has.
        is_applied = not any(isinstance(each, Committed | SnapshotFetched) for each in effects)
        if not is_applied or not start.is_told(committee, now) or self.current.is_behind:
            return effects
        if not self.current.options.is_trusted:  # its committee may have retired: the state waits
            return effects
        self._first_start = None
        if start.was_heard():
            return [*effects, VoteDecided(may_vote=False)]
        self._first = replace(self._first, may_vote=True)
        begun = self.current.begin_to_vote(self._present_options(), now=now)
        return effects + self._labelled(begun)

    def _take_answer(self, start: FirstStart, event: MessageReceived, now: int) -> list[Effect]:
        """Take the certificate that a member shows for its highest, if it holds."""
        epoch, message = self._first.epoch, event.message
        if isinstance(message, InEpoch):
            epoch, message = message.epoch, message.message
        is_answer = start.is_answer(event.sender, message, self.current.committee)
        if epoch != self.number or not is_answer or not isinstance(message, Blocks):
            return []
        shown = MessageReceived(event.sender, QcNotice(message.qc, None))
        effects = self.current.handle(shown, now=now)
        if not any(isinstance(each, PeerFault) for each in effects):
            start.shown(event.sender)
        return self._labelled(effects)

    # Snapshots.

    def _on_offer(self, sender: bytes, offer: Offer, now: int) -> list[Effect]:
        head = self.current.head_index
        may_have_blocks = self.wants_all and not head and sender not in self._declined
        if not may_have_blocks and offer.snapshot.index > head:  # else it comes late
            self.current.offered(sender, offer.snapshot.index, now)
        if not self.current.takes_answer(sender):
            return []
        if may_have_blocks:
            self._decline(sender)
            self.current.offered_instead(sender, is_fetching=False, now=now)
            return []
        before = self._fetcher.progress
        fault = self._fetcher.take_offer(sender, offer, self.current.options, head)
        self._beyond = self._fetcher.unknown
        is_fetched = self._fetcher.progress[0] == offer.snapshot.index  # not an older one
        self.current.offered_instead(sender, is_fetching=fault is None and is_fetched, now=now)
        self._see_progress(before, now)
        return [] if fault is None else [PeerFault(sender, fault)]

    def _see_progress(self, before: tuple[int, int], now: int) -> None:
        if self._fetcher.progress > before:
            self.current.await_pages(now)

    def _decline(self, sender: bytes) -> None:
        """Note who offered; who is asked again gives the blocks instead, if it has them.

        The committee that is known here may be long gone, so whoever was asked counts.
        """
        if len(self._declined) < FETCHERS_MAX:
            self._declined.add(sender)

    def _fetch_pages(self, now: int) -> list[Effect]:
        effects: list[Effect] = []
        for effect in self._fetcher.step(self.current.head_index, now):
            if isinstance(effect, SnapshotFetched):
                dropped = self.current.superseded(effect.snapshot.index)
                self._fetched = msgspec.structs.replace(effect, dropped=dropped)
                effects.append(self._fetched)
            else:
                effects.append(effect)
        return effects

    def _go_on_from(self, installed: Installed, now: int) -> list[Effect]:
        """Begin again at a snapshot's block: what was signed stays signed, all else is of there."""
        fetched, before = self._fetched, self.current
        assert fetched is not None, "the host installs what was fetched"
        self._fetched = self._ended = None
        end = fetched.ends[-1] if fetched.ends else None
        self._before = end or self._before
        options = before.options if end is None else self._present_options()
        safety = before.safety if end is None else None
        tail = before.uncommitted(fetched.snapshot.index)
        restored = Restored(safety, fetched.block, installed.beacons, tail)
        self.current = self._epoch(options, restored)
        self.current.inherit(before)
        if end is None:
            return self._labelled(self.current.handle(Started(installed.awaited_ms), now=now))
        return self._labelled(self.current.begin(awaited_ms=installed.awaited_ms, now=now))
