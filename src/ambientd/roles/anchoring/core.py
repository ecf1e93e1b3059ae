"""Anchoring: decides what is signed, sent, replaced and sent again until roots stay in the chain.

Implements protocols/06-receipts.md section 10. A root goes its way by the table `TURNS`:

    WAITING --signed, adopted--> SENT --mined--> MINED --proved--> PROVEN
       ^------ abandoned -------'  ^--- reorganised ---'--------------'

What is signed is in the book on disk before it is sent, so a crash never pays twice: `PersistBook`
comes first among the effects of an event. Every version of a root spends a coin of all earlier
ones, so at most one is mined; a root begins anew only when such a coin was spent elsewhere, six
Bitcoin blocks deep.
"""

from typing import assert_never

from msgspec.structs import replace

from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
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
from ambientd.roles.anchoring.events import (
    Answered,
    AskForFunds,
    ChainAway,
    ChainSeen,
    CollectProof,
    Effect,
    Event,
    Look,
    LookAtChain,
    PersistBook,
    ProofTaken,
    RetryAsked,
    RootLost,
    RootsSettled,
    RootWanted,
    SendTransaction,
    TheirsHeard,
    Ticked,
    View,
)
from ambientd.roles.anchoring.open_book import OpenBook
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.roles.anchoring.purse import FeeOf, Purse, Short, bumped_fee, first_fee, pay
from ambientd.rules.bitcoin import committed_roots, decode_transaction

THEIRS_BYTES_MAX = 4_000
THEIRS_A_ROOT_MAX = 4
HEARD_KEPT_MAX = 16
VERSIONS_MAX = 64
PATIENCE_WITH_THEIRS = 2


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
        self._notes: dict[Digest, str] = {}
        self._refused: dict[Digest, str] = {}
        self._heard: dict[Digest, bytes] = {}
        self._sent_ms: dict[bytes, int] = {}
        self._missing_since: dict[Digest, int | None] = {}
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
        return self._away or next(iter((*self._notes.values(), *self._refused.values())), None)

    @property
    def height(self) -> int | None:
        """Give the height of the chain when it was last looked at."""
        return self._height

    def progress(self) -> list[Progress]:
        """Tell of every root, oldest first."""
        found = []
        for entry in self._book.entries():
            note = self._notes.get(entry.root) or self._refused.get(entry.root) or ""
            found.append(Progress(entry, self._confirmations(entry), note))
        return found

    def handle(self, event: Event, *, now: int) -> list[Effect]:
        """Advance by one event; the book is on disk before anything else is done."""
        self._now = now
        match event:
            case RootWanted(size=size, root=root):
                self._want(size, root)
            case RootsSettled(size=size):
                self._settled = size
                for each in self._book.entries(Stage.WAITING):
                    if self._is_settled(each):
                        self._drop(each)
            case TheirsHeard(root=root, raw=raw):
                self._hear(root, raw)
            case Ticked():
                if not self._is_looking and self._look_ms is not None and now >= self._look_ms:
                    self._is_looking = True
                    self._out.append(LookAtChain(self._look()))
            case ChainSeen(view=view):
                self._see(view)
            case ChainAway(reason=reason):
                self._is_looking = False
                self._away = reason
                self._sent_ms.clear()
                self._look_ms = now + self._options.retry_ms
            case Answered(txid=txid, refusal=refusal):
                self._answer(txid, refusal)
            case ProofTaken(root=root, place=place):
                entry = self._book.get(root)
                if entry is not None and entry.place == place:
                    self._again.discard(root)
                    self._book.turn(entry, Turn.PROVED)
                    for old in self._book.oldest_proven(self._options.proven_kept_max):
                        self._drop(old)
            case RetryAsked():
                self._sent_ms.clear()
                self._look_ms = now if self._book.entries() else None
            case _:
                assert_never(event)
        effects, self._out = self._out, []
        book = self._book.close()
        if book != self._saved:
            self._saved = book
            effects.insert(0, PersistBook(book))
        return effects

    # What is wanted

    def _want(self, size: int, root: Digest) -> None:
        self._look_ms = self._now
        known = self._book.get(root)
        if known is not None:
            self._again.add(root)
            return
        # A later root holds all that an earlier one does: nothing is to be paid for the earlier.
        for entry in self._book.entries(Stage.WAITING):
            if entry.size < size:
                self._drop(entry)
        entry = self._book.put(AnchoredRoot(size=size, root=root))
        if root in self._heard:
            self._adopt(entry, self._heard.pop(root))

    def _is_settled(self, entry: AnchoredRoot) -> bool:
        """Tell whether the log has an anchor of a batch, of which no proof of ours was undone."""
        return entry.size <= self._settled and not entry.reorganised

    def _hear(self, root: Digest, raw: bytes) -> None:
        try:
            fits = len(raw) <= THEIRS_BYTES_MAX
            holds = fits and root in committed_roots(decode_transaction(raw))
        except RemoteProtocolError:
            return
        if not holds:
            return
        entry = self._book.get(root)
        if entry is None:
            self._heard[root] = raw
            if len(self._heard) > HEARD_KEPT_MAX:
                del self._heard[next(iter(self._heard))]
        elif entry.stage in {Stage.WAITING, Stage.SENT}:
            self._adopt(entry, raw)

    def _adopt(self, entry: AnchoredRoot, raw: bytes) -> None:
        """Follow another member's transaction instead of paying for a second one."""
        version = Version(raw=raw, txid=decode_transaction(raw).txid)
        theirs = sum(not each.coins for each in entry.versions)
        if theirs >= THEIRS_A_ROOT_MAX or version.txid in {each.txid for each in entry.versions}:
            return
        if not entry.versions:
            entry = replace(entry, since_ms=self._now, since_height=self._known_height)
        self._notes.pop(entry.root, None)
        self._book.turn(replace(entry, versions=(*entry.versions, version)), Turn.ADOPTED)
        self._look_ms = self._now

    # What is looked at

    def _look(self) -> Look:
        sent = self._book.entries(Stage.SENT)
        placed = self._book.entries(Stage.MINED, Stage.PROVEN)
        heights = {entry.place.height for entry in placed if entry.place}
        if not self._in_doubt:
            # While the highest Bitcoin block with a proven root is there, all below it are.
            mined = self._book.entries(Stage.MINED)
            heights = {entry.place.height for entry in mined if entry.place}
            highest = self._book.highest_proven()
            heights |= set() if highest is None else {highest}
        suspects = [entry for entry in sent if entry.root in self._missing_since]
        return Look(
            txids=tuple(
                version.txid
                for entry in self._book.entries(Stage.WAITING, Stage.SENT)
                for version in entry.transactions
            ),
            heights=tuple(sorted(heights)),
            waiting=tuple(version.txid for entry in suspects for version in entry.versions),
            coins=bool(suspects or self._book.entries(Stage.WAITING))
            or any(self._is_stuck(entry) for entry in sent),
        )

    def _see(self, view: View) -> None:
        """Take in what the chain says, then do what follows from it."""
        self._is_looking = self._look_again = False
        self._away = None
        if view.height < self._known_height:
            self._missing_since = dict.fromkeys(self._missing_since)
        self._height = view.height
        was_in_doubt = self._in_doubt
        self._in_doubt = False
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
                    if entry.stage is Stage.MINED or entry.root in self._again:
                        self._collect(entry)
                case _:
                    assert_never(entry.stage)
        self._schedule()

    def _place(self, entry: AnchoredRoot, view: View) -> None:
        """Find out whether a root came into the best chain, or left it."""
        if entry.place is not None and entry.place.height in view.hashes:
            if view.hashes[entry.place.height] != entry.place.block_hash:
                self._lose(entry, view)
        elif entry.stage in {Stage.WAITING, Stage.SENT}:
            if entry.since_height < 0:
                entry = self._book.put(replace(entry, since_height=view.height))
            for version in entry.transactions:
                place = view.places.get(version.txid)
                if place is not None:
                    self._find(entry, version, place)
                    break

    def _find(self, entry: AnchoredRoot, version: Version, place: Place) -> None:
        """Take a version that was mined; one that was void is none any more."""
        self._clear(entry.root)
        found = replace(entry, place=place)
        if version in entry.void:
            void = tuple(each for each in entry.void if each != version)
            found = replace(found, versions=(version, *entry.versions), void=void)
        self._book.turn(found, Turn.MINED)

    def _lose(self, entry: AnchoredRoot, view: View) -> None:
        """Take a root back that a reorganisation has undone, and send it again."""
        self._look_again = True
        was_proven = entry.stage is Stage.PROVEN
        if was_proven:
            self._in_doubt = True
            self._out.append(RootLost(entry.size, entry.root))
        for version in entry.versions:
            self._sent_ms.pop(version.txid, None)
        lost = replace(
            entry,
            place=None,
            since_ms=self._now,
            since_height=view.height,
            reorganised=entry.reorganised + was_proven,
        )
        self._book.turn(lost, Turn.REORGANISED)

    def _schedule(self) -> None:
        """Look again soon while something moves, seldom while all is proven."""
        options = self._options
        if self._look_again or self._in_doubt:
            pause_ms = 0
        elif self._again or self._book.entries(Stage.SENT, Stage.MINED):
            pause_ms = options.look_ms
        elif self._book.entries(Stage.WAITING):
            pause_ms = options.retry_ms
        else:
            pause_ms = options.watch_ms
        self._look_ms = self._now + pause_ms if self._book.entries() else None

    # What is signed and sent

    def _begin(self, entry: AnchoredRoot, view: View) -> None:
        """Sign the first version of our own."""
        if view.coins is None:
            self._look_again = True
            return
        self._notes.pop(entry.root, None)
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
        fault = self._cap_fault(payment.fee_sat, more_sat)
        if fault is not None:
            self._wait(entry, fault)
            return False
        self._book.spend(more_sat, self._now)
        raw = self._purse.sign(payment.coins, entry.root, payment.fee_sat)
        txid = decode_transaction(raw).txid
        version = Version(raw=raw, txid=txid, fee_sat=payment.fee_sat, coins=payment.coins)
        self._clear(entry.root)
        signed = replace(
            entry,
            versions=(*entry.versions, version),
            since_ms=self._now,
            since_height=self._known_height,
        )
        self._book.turn(signed, Turn.SIGNED)
        self._send(signed, version)
        return True

    def _cap_fault(self, fee_sat: int, more_sat: int) -> str | None:
        options = self._options
        if fee_sat > options.fee_sat_max:
            return f"a fee of {fee_sat} sat is above the cap {options.fee_sat_max}"
        day_sat = self._book.spent_today(self._now) + more_sat
        if options.fee_sat_a_day_max and day_sat > options.fee_sat_a_day_max:
            return f"{day_sat} sat in one day is above the cap {options.fee_sat_a_day_max}"
        return None

    def _run_short(self, entry: AnchoredRoot, short: Short) -> None:
        """Wait for the change of an anchor under way, or ask a person for coins."""
        is_change_to_come = any(each.newest_is_ours for each in self._book.entries(Stage.SENT))
        if is_change_to_come and entry.stage is Stage.WAITING:
            return
        self._out.append(AskForFunds(short.needed_sat))
        self._wait(
            entry,
            f"out of funds: {short.available_sat} sat, an anchor needs {short.needed_sat}; "
            f"send some to {self._address}",
        )

    def _wait(self, entry: AnchoredRoot, reason: str) -> None:
        """Say why a root does not move; what was signed already gets another period."""
        self._notes[entry.root] = reason
        if entry.stage is Stage.SENT:
            since = replace(entry, since_ms=self._now, since_height=self._known_height)
            self._book.put(since)

    def _push(self, entry: AnchoredRoot, view: View) -> None:
        """Bring a version that is in no Bitcoin block further: judge, replace or send it again."""
        if any(version.txid not in view.places for version in entry.versions):
            self._look_again = True  # it was mined when the look was asked for
            return
        if entry.root in self._missing_since and view.coins is not None:
            entry = self._judge(entry, view, view.coins)
        is_void = entry.stage is Stage.WAITING
        is_stuck = entry.root not in self._missing_since and self._is_stuck(entry)
        if self._is_settled(entry) and (is_void or is_stuck) and not entry.newest_is_ours:
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
        if sent_ms is None or self._now >= sent_ms + self._options.rebroadcast_ms:
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
        ours = bool(version.coins)
        self._out.append(SendTransaction(entry.size, entry.root, version.txid, version.raw, ours))

    def _is_stuck(self, entry: AnchoredRoot) -> bool:
        """Tell whether the newest version has waited so long that another is to be signed."""
        # Replacing the parent would undo the child. The child is replaced, and pays for both.
        if len(entry.versions) >= VERSIONS_MAX or self._book.has_child(entry):
            return False
        if entry.newest is not None and entry.shared_coins != entry.newest.coins:
            return True
        times = 1 if entry.newest_is_ours else PATIENCE_WITH_THEIRS
        blocks = self._known_height - entry.since_height if entry.since_height >= 0 else 0
        return (
            blocks >= times * self._options.bump_blocks
            or self._now - entry.since_ms >= times * self._options.bump_ms
        )

    def _answer(self, txid: bytes, refusal: str | None) -> None:
        for entry in self._book.entries(Stage.SENT):
            if all(version.txid != txid for version in entry.versions):
                continue
            if refusal is None:
                self._refused.pop(entry.root, None)
            else:
                self._refused[entry.root] = f"the chain refused the anchor: {refusal}"
                if entry.newest_is_ours:
                    self._missing_since.setdefault(entry.root, None)

    def _judge(self, entry: AnchoredRoot, view: View, unspent: tuple[Coin, ...]) -> AnchoredRoot:
        """Find out whether a coin was spent elsewhere, and for how long; then begin anew."""
        gone = self._book.gone(entry, unspent)
        if not gone or any(version.txid in view.waiting for version in entry.versions):
            self._missing_since.pop(entry.root)
            self._notes.pop(entry.root, None)
            return entry
        since = self._missing_since[entry.root]
        if since is None:
            since = self._missing_since[entry.root] = view.height
        self._notes[entry.root] = (
            "a coin of the anchor was spent elsewhere; it is anchored anew once that is certain"
        )
        if view.height - since < self._options.confirmations:
            return entry
        self._clear(entry.root)
        left = tuple(
            version
            for version in entry.versions
            if version.coins and not any(coin.outpoint in gone for coin in version.coins)
        )
        void = tuple(each for each in entry.versions if each.coins and each not in left)
        kept = replace(entry, versions=left, void=(*entry.void, *void)[-VERSIONS_MAX:])
        return self._book.put(kept) if left else self._book.turn(kept, Turn.ABANDONED)

    # What is proved

    def _collect(self, entry: AnchoredRoot) -> None:
        """Ask for the proof once it is deep enough: deeper than the one it takes the place of."""
        needed = self._options.confirmations + entry.reorganised
        if entry.place is not None and self._confirmations(entry) >= needed:
            self._out.append(CollectProof(entry.size, entry.root, entry.place, needed - 1))

    def _confirmations(self, entry: AnchoredRoot) -> int:
        return 0 if entry.place is None else max(0, self._known_height - entry.place.height + 1)

    @property
    def _known_height(self) -> int:
        return -1 if self._height is None else self._height

    def _clear(self, root: Digest) -> None:
        """Forget what stood in a root's way."""
        for reasons in (self._notes, self._refused):
            reasons.pop(root, None)
        self._missing_since.pop(root, None)

    def _drop(self, entry: AnchoredRoot) -> None:
        self._book.drop(entry)
        self._again.discard(entry.root)
        self._clear(entry.root)
        for version in entry.versions:
            self._sent_ms.pop(version.txid, None)
