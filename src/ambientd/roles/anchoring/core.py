"""Anchoring: decides what is signed, sent, replaced and sent again until roots stay in the chain.

Implements protocols/06-receipts.md section 10. A root goes its way by the table `TURNS`:

    WAITING --signed, adopted--> SENT --mined--> MINED --proved--> PROVEN
       ^------ abandoned -------'  ^--- reorganised ---'--------------'

What is signed is in the book on disk before it is sent, so a crash never pays twice: `PersistBook`
comes first among the effects of an event. Every version of a root spends a coin of all earlier
ones, so at most one is mined; a root begins anew only when such a coin was spent elsewhere, six
Bitcoin blocks deep. What the log has an anchor of is watched too, whoever made it.
"""

from typing import assert_never

from msgspec.structs import replace

from ambientd.model.base import Digest
from ambientd.roles.anchoring import events
from ambientd.roles.anchoring.book import (
    AnchorBook,
    AnchoredRoot,
    Coin,
    Place,
    Progress,
    Stage,
    Turn,
    Version,
)
from ambientd.roles.anchoring.events import Effect, Event, View
from ambientd.roles.anchoring.hindrances import Hindrances
from ambientd.roles.anchoring.logged import (
    PATIENCE_WITH_THEIRS,
    Heard,
    LoggedAnchors,
    LoggedProof,
    Seat,
    carries,
)
from ambientd.roles.anchoring.looking import Sight, Unseen, look_at
from ambientd.roles.anchoring.open_book import OpenBook
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.roles.anchoring.purse import FeeOf, Purse, Short, bumped_fee, first_fee, pay, signed
from ambientd.rules.bitcoin import decode_transaction

VERSIONS_MAX = 64


class Anchoring:
    """One wallet's anchors on one chain."""

    def __init__(
        self, options: AnchoringOptions, purse: Purse, book: AnchorBook, address: str
    ) -> None:
        """Take up what the book holds; `address` is where people send funds."""
        self._options = options
        self._purse = purse
        self._saved = book
        self._book = OpenBook(book)
        self._address = address
        self._height: int | None = None
        self._away: str | None = None
        self._hindrances = Hindrances()
        self._heard = Heard()
        self._wanted: set[Digest] = set()
        self._logged = LoggedAnchors()
        self._unseen = Unseen(PATIENCE_WITH_THEIRS * options.bump_ms)
        self._sent_ms: dict[bytes, int] = {}
        # What took the place of an undone proof may not have come into the log before a crash.
        self._again = {entry.root for entry in book.roots if entry.reorganised}
        self._settled = 0
        self._in_doubt = bool(book.roots)
        self._look_again = False
        self._is_looking = False
        self._look_ms: int | None = 0 if book.roots else None
        self._out: list[Effect] = []
        self._now = 0

    @property
    def next_deadline(self) -> int | None:
        """Give when a tick is wanted, or None when nothing is to be looked after."""
        return None if self._is_looking else self._look_ms

    @property
    def alarm(self) -> str | None:
        """Say why anchoring does not move, or give None."""
        return self._away or next(iter(self._hindrances), None)

    @property
    def height(self) -> int | None:
        """Give the height of the chain when it was last looked at."""
        return self._height

    def progress(self) -> list[Progress]:
        """Tell of every root, oldest first."""
        return [
            Progress(entry, self._confirmations(entry), self._hindrances.of(entry.root))
            for entry in self._book.entries()
        ]

    def handle(self, event: Event, *, now: int) -> list[Effect]:
        """Advance by one event; the book is on disk before anything else is done."""
        self._now = now
        match event:
            case events.RootWanted(size=size, root=root):
                self._want(size, root)
            case events.RootsSettled(size=size):
                self._settled = size
                self._leave()
            case events.AnchorLogged():
                self._take_logged(event)
            case events.SeatTold(place=place, members=members):
                self._logged.seat = Seat(place, members)
                self._leave()
            case events.TheirsHeard(size=size, root=root, raw=raw):
                self._hear(size, root, raw)
            case events.Ticked():
                self._tick()
            case events.ChainSeen(view=view):
                self._see(view)
            case events.ChainAway(reason=reason):
                self._is_looking = False
                self._away = reason
                self._sent_ms.clear()
                self._look_ms = now + self._options.retry_ms
            case events.Answered(txid=txid, refusal=refusal):
                self._answer(txid, refusal)
            case events.ProofTaken(root=root, place=place):
                self._prove(root, place)
            case events.RetryAsked():
                self._sent_ms.clear()
                self._look_ms = now if self._book.entries() else None
            case _:
                assert_never(event)
        effects, self._out = self._out, []
        book = self._book.close()
        if book != self._saved:
            self._saved = book
            effects.insert(0, events.PersistBook(book))
        return effects

    # What is wanted

    def _want(self, size: int, root: Digest) -> None:
        self._look_ms = self._now
        self._wanted.add(root)
        if self._book.get(root) is not None:
            self._again.add(root)
            return
        # A later root holds all that an earlier one does: nothing is to be paid for the earlier.
        for entry in self._book.entries(Stage.WAITING):
            if entry.size < size and not self._logged.has(entry.root):
                self._drop(entry)
        self._adopt_heard(self._book.put(AnchoredRoot(size=size, root=root)))

    def _leave(self) -> None:
        """Begin nothing that the log has, nor anything without a seat."""
        for each in self._book.entries(Stage.WAITING):
            if self._is_settled(each) or not self._logged.may_sign:
                self._drop(each)

    def _is_settled(self, entry: AnchoredRoot) -> bool:
        """Tell whether the log has a batch's anchor, and none of its own was undone or unseen."""
        is_open = (entry.reorganised and entry.has_own) or self._logged.has(entry.root)
        return entry.size <= self._settled and not is_open

    def _take_logged(self, logged: events.AnchorLogged) -> None:
        """Watch an anchor that the log has; where it is there, it is as good as one of ours."""
        place, root = logged.place, logged.root
        version = Version(raw=logged.raw, txid=place.txid)
        self._logged.put(root, LoggedProof(place.block_hash, logged.following))
        entry = self._book.get(root)
        self._look_ms = self._now
        if entry is None:
            watched = AnchoredRoot(size=logged.size, root=root, versions=(version,), place=place)
            self._book.put(replace(watched, stage=Stage.PROVEN, since_ms=self._now))
            self._unseen.put(root)
            self._forget_oldest()
            return
        entry = self._book.put(entry.following(version))
        if entry.stage is Stage.WAITING and entry.versions:  # what is void is looked for anyway
            self._book.turn(entry, Turn.ADOPTED)
        elif entry.place is not None and not self._logged.is_of(entry):
            self._book.put(replace(entry, place=place, since_ms=self._now))
            self._unseen.put(root)

    def _forget_oldest(self) -> None:
        for old in self._book.oldest(self._options.proven_kept_max, self._wanted):
            self._drop(old)

    def _hear(self, size: int, root: Digest, raw: bytes) -> None:
        """Follow what another member has sent: it may be lost before it has the proof."""
        if not carries(raw, root):
            return
        entry = self._book.get(root)
        if entry is None and size > self._settled:
            self._adopt(self._book.put(AnchoredRoot(size=size, root=root)), raw)
            self._forget_oldest()
        elif entry is not None and entry.stage in {Stage.WAITING, Stage.SENT}:
            self._adopt(entry, raw)
        else:  # whoever shows it may know already that the one before was undone
            self._heard.put(root, raw)

    def _adopt_heard(self, entry: AnchoredRoot) -> None:
        if (raw := self._heard.take(entry.root)) is not None:
            self._adopt(entry, raw)

    def _adopt(self, entry: AnchoredRoot, raw: bytes) -> None:
        """Follow another member's transaction instead of paying for a second one."""
        version = Version(raw=raw, txid=decode_transaction(raw).txid)
        if not entry.may_adopt(version):
            return
        if not entry.newest_is_ours:
            entry = replace(entry, since_ms=self._now, since_height=-1)
        self._hindrances.notes.pop(entry.root, None)
        self._book.turn(entry.following(version), Turn.ADOPTED)
        self._look_ms = self._now

    # What is looked at

    def _tick(self) -> None:
        if self._is_looking or self._look_ms is None or self._now < self._look_ms:
            return
        self._is_looking = True
        look = look_at(
            self._book, self._unseen, self._hindrances.suspects, self._is_stuck, self._in_doubt
        )
        self._out.append(events.LookAtChain(look))

    def _see(self, view: View) -> None:
        """Take in what the chain says, then do what follows from it."""
        self._is_looking = self._look_again = False
        self._away = None
        if view.height < self._known_height:
            self._hindrances.begin_anew()
        self._height = view.height
        was_in_doubt, self._in_doubt = self._in_doubt, False
        for entry in self._book.entries():
            self._place(entry, view)
        # With every place looked at, what was found lost leaves no doubt.
        self._in_doubt &= not was_in_doubt
        for entry in self._book.entries():
            match entry.stage:
                case Stage.WAITING:
                    self._begin(entry, view)
                case Stage.SENT:
                    self._push(entry, view)
                case Stage.MINED | Stage.PROVEN:
                    if entry.root in self._unseen:
                        continue
                    if entry.stage is Stage.MINED or entry.root in self._again:
                        self._collect(entry)
                    elif self._is_deep(entry):
                        self._drop(entry)
                case _:
                    assert_never(entry.stage)
        self._schedule()

    def _place(self, entry: AnchoredRoot, view: View) -> None:
        """Find out whether a root came into the best chain, or left it."""
        if entry.place is not None and entry.root in self._unseen:
            self._locate(entry, entry.place, view)
        elif entry.place is not None and entry.place.height in view.hashes:
            if view.hashes[entry.place.height] != entry.place.block_hash:
                self._lose(entry, view)
        elif entry.stage in {Stage.WAITING, Stage.SENT}:
            if entry.since_height < 0:
                entry = self._book.put(replace(entry, since_height=view.height))
            place = self._logged.best(entry, view.places)
            if place is not None:
                self._find(entry, place)

    def _locate(self, entry: AnchoredRoot, claimed: Place, view: View) -> None:
        """Look for what the log has at the height that it claims, then by its transaction."""
        match self._unseen.see(entry, claimed, view, self._now):
            case Place() as place:
                entry = self._book.put(entry.found(place))
                if not self._logged.is_of(entry):
                    self._again.add(entry.root)
            case Sight.LOOK_AGAIN:
                self._look_again = True
            case Sight.GONE:
                self._lose(entry, view)
            case Sight.THERE | Sight.NOT_YET:
                pass

    def _find(self, entry: AnchoredRoot, place: Place) -> None:
        """Take a version that was mined; one that was void is none any more."""
        self._hindrances.clear(entry.root)
        self._book.turn(entry.found(place), Turn.MINED)

    def _lose(self, entry: AnchoredRoot, view: View) -> None:
        """Take a root back that a reorganisation has undone, and send it again."""
        self._look_again = True
        was_proven = entry.stage is Stage.PROVEN
        if was_proven:
            self._in_doubt = True
            self._out.append(events.RootLost(entry.size, entry.root))
        for version in entry.versions:
            self._sent_ms.pop(version.txid, None)
        lost = replace(
            entry,
            place=None,
            since_ms=self._now,
            since_height=view.height,
            reorganised=entry.reorganised + was_proven,
        )
        self._adopt_heard(self._book.turn(lost, Turn.REORGANISED))

    def _schedule(self) -> None:
        """Look again soon while something moves, seldom while all is proven."""
        options = self._options
        if self._look_again or self._in_doubt:
            pause_ms = 0
        elif self._again or self._unseen or self._book.entries(Stage.SENT, Stage.MINED):
            pause_ms = options.look_ms
        elif self._book.entries(Stage.WAITING):
            pause_ms = options.retry_ms
        else:
            pause_ms = options.watch_ms
        self._look_ms = self._now + pause_ms if self._book.entries() else None

    # What is signed and sent

    def _begin(self, entry: AnchoredRoot, view: View) -> None:
        """Sign the first version of our own."""
        if not self._logged.may_sign:
            return
        if view.coins is None:
            self._look_again = True
            return
        self._hindrances.notes.pop(entry.root, None)
        self._sign(entry, (), self._book.free(view.coins), first_fee(self._rate(view)))

    def _rate(self, view: View) -> int:
        return view.rate_msat_vb or self._options.fallback_rate_msat_vb

    def _sign(
        self, entry: AnchoredRoot, kept: tuple[Coin, ...], more: list[Coin], fee_of: FeeOf
    ) -> bool:
        """Sign one version, put it into the book, and send it; or say why not."""
        payment = pay(kept, more, fee_of)
        if isinstance(payment, Short):
            self._run_short(entry, payment)
            return False
        newest = entry.newest
        more_sat = payment.fee_sat - (0 if newest is None else newest.fee_sat)
        day_sat = self._book.spent_today(self._now) + more_sat
        fault = self._options.cap_fault(payment.fee_sat, day_sat)
        version = fault or signed(self._purse, payment, entry.root)
        if isinstance(version, str):
            self._wait(entry, version)
            return False
        self._book.spend(more_sat, self._now)
        self._hindrances.clear(entry.root)
        entry = replace(
            entry,
            versions=(*entry.versions, version),
            since_ms=self._now,
            since_height=self._known_height,
        )
        self._book.turn(entry, Turn.SIGNED)
        self._send(entry, version)
        return True

    def _run_short(self, entry: AnchoredRoot, short: Short) -> None:
        """Wait for the change of an anchor under way, or ask a person for coins."""
        is_change_to_come = any(each.newest_is_ours for each in self._book.entries(Stage.SENT))
        if is_change_to_come and entry.stage is Stage.WAITING:
            return
        self._out.append(events.AskForFunds(short.needed_sat))
        self._wait(
            entry,
            f"out of funds: {short.available_sat} sat, an anchor needs {short.needed_sat}; "
            f"send some to {self._address}",
        )

    def _wait(self, entry: AnchoredRoot, reason: str) -> None:
        """Say why a root does not move; what was signed already gets another period."""
        self._hindrances.notes[entry.root] = reason
        if entry.stage is Stage.SENT:
            since = replace(entry, since_ms=self._now, since_height=self._known_height)
            self._book.put(since)

    def _push(self, entry: AnchoredRoot, view: View) -> None:
        """Bring a version that is in no Bitcoin block further: judge, replace or send it again."""
        if any(version.txid not in view.places for version in entry.versions):
            self._look_again = True  # it was mined when the look was asked for
            return
        if entry.root in self._hindrances.suspects and view.coins is not None:
            entry = self._judge(entry, view, view.coins)
        is_void = entry.stage is Stage.WAITING
        is_stuck = entry.root not in self._hindrances.suspects and self._is_stuck(entry)
        is_late = is_void or self._has_waited(entry, PATIENCE_WITH_THEIRS)
        if self._is_settled(entry) and is_late and not entry.newest_is_ours:
            self._drop(entry)
            return
        if is_void:
            self._begin(entry, view)
            return
        if is_stuck:
            if view.coins is None:
                self._look_again = True
            elif self._bump(entry, view):
                return
        newest = entry.newest
        assert newest is not None, "what was sent has a version"
        sent_ms = self._sent_ms.get(newest.txid)
        if newest.raw and (sent_ms is None or self._now >= sent_ms + self._options.rebroadcast_ms):
            self._send(entry, newest)

    def _bump(self, entry: AnchoredRoot, view: View) -> bool:
        """Sign a version that pays more, or our first one beside another member's."""
        rate_msat_vb = self._rate(view)
        coins = self._book.free(view.coins or ())
        if not entry.newest_is_ours:
            return self._sign(entry, (), coins, first_fee(rate_msat_vb))
        paid_sat = max(version.fee_sat for version in entry.versions)
        fee_of = bumped_fee(paid_sat, rate_msat_vb, self._options.fee_sat_max)
        return self._sign(entry, entry.shared_coins, coins, fee_of)

    def _send(self, entry: AnchoredRoot, version: Version) -> None:
        self._sent_ms[version.txid] = self._now
        sent = (entry.size, entry.root, version.txid, version.raw, bool(version.coins))
        self._out.append(events.SendTransaction(*sent))

    def _is_stuck(self, entry: AnchoredRoot) -> bool:
        """Tell whether the newest version has waited so long that another is to be signed."""
        # Replacing the parent would undo the child. The child is replaced, and pays for both.
        times = self._logged.patience(entry, is_wanted=entry.root in self._wanted or entry.has_own)
        if times is None or len(entry.versions) >= VERSIONS_MAX or self._book.has_child(entry):
            return False
        if entry.newest is not None and entry.shared_coins != entry.newest.coins:
            return True
        return self._has_waited(entry, times)

    def _has_waited(self, entry: AnchoredRoot, times: int) -> bool:
        blocks = self._known_height - entry.since_height if entry.since_height >= 0 else 0
        return self._options.is_over(times, blocks, self._now - entry.since_ms)

    def _answer(self, txid: bytes, refusal: str | None) -> None:
        for entry in self._book.entries(Stage.SENT):
            if any(version.txid == txid for version in entry.versions):
                self._hindrances.answer(entry.root, refusal)
                if refusal is not None and entry.newest_is_ours:
                    self._hindrances.suspect(entry.root)
                late_ms = self._now - self._options.look_ms
                if refusal is None and self._sent_ms.get(txid) == entry.since_ms <= late_ms:
                    # Its signer took its time: until now there was nothing to wait for.
                    self._book.put(replace(entry, since_ms=self._now, since_height=-1))

    def _judge(self, entry: AnchoredRoot, view: View, unspent: tuple[Coin, ...]) -> AnchoredRoot:
        """Find out whether a coin was spent elsewhere, and for how long; then begin anew."""
        gone = self._book.gone(entry, unspent)
        if not gone or any(each.txid in view.waiting for each in entry.versions if each.coins):
            self._hindrances.acquit(entry.root)
            return entry
        if self._hindrances.missing_for(entry.root, view.height) < self._options.confirmations:
            return entry
        self._hindrances.clear(entry.root)
        kept = replace(entry.without(gone, VERSIONS_MAX), since_ms=self._now, since_height=-1)
        return self._book.put(kept) if kept.versions else self._book.turn(kept, Turn.ABANDONED)

    # What is proved

    def _collect(self, entry: AnchoredRoot) -> None:
        """Ask for the proof once it is deep enough: deeper than the one it takes the place of."""
        needed = self._logged.needed(entry, self._options.confirmations)
        if needed is None:  # a later batch holds its receipts
            self._again.discard(entry.root)
            self._book.turn(entry, Turn.PROVED)
        elif entry.place is not None and self._confirmations(entry) >= needed:
            self._out.append(events.CollectProof(entry.size, entry.root, entry.place, needed - 1))

    def _prove(self, root: Digest, place: Place) -> None:
        entry = self._book.get(root)
        if entry is not None and entry.place == place:
            self._again.discard(root)
            self._book.turn(entry, Turn.PROVED)
            self._forget_oldest()

    def _is_deep(self, entry: AnchoredRoot) -> bool:
        return not self._in_doubt and self._confirmations(entry) >= self._options.deep_blocks

    def _confirmations(self, entry: AnchoredRoot) -> int:
        return 0 if entry.place is None else max(0, self._known_height - entry.place.height + 1)

    @property
    def _known_height(self) -> int:
        return -1 if self._height is None else self._height

    def _drop(self, entry: AnchoredRoot) -> None:
        self._book.drop(entry)
        self._logged.drop(entry.root)
        self._unseen.drop(entry.root)
        self._wanted.discard(entry.root)
        self._again.discard(entry.root)
        self._hindrances.clear(entry.root)
        for version in entry.versions:
            self._sent_ms.pop(version.txid, None)
