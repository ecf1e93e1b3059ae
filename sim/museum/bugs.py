"""The bugs of the museum, each put in again: what its exhibit's world must break with it.

A world shows its bug only as long as it comes to the moment at which the bug mattered. Where the
code has changed since, the bug is what the code of today would do with the same mistake.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ambientd.codec.state_pages import decode_page
from ambientd.consensus.catch_up import CatchUp
from ambientd.consensus.effects import Committed
from ambientd.consensus.messages import Pages, Position
from ambientd.consensus.pacemaker import BACKOFF_MAX, Pacemaker
from ambientd.consensus.snapshots import SnapshotFetcher
from ambientd.ledger import peg_ins
from ambientd.ledger.peg_entries import PegCoinEntry
from ambientd.ledger.peg_wallets import SWEEP_SAT_KVB, PegDraft, moved
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState, PaymentKind, PegPayment
from ambientd.model.record import NodeReport, SeatWish
from ambientd.roles.anchor_watch import AnchorWatch
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.reporter import Reporter
from ambientd.rules import peg_payments as payments
from ambientd.rules.bitcoin import Outpoint
from ambientd.runtime import persistence
from sim import seasons
from sim.anchor_checkers import LogsAnchors
from sim.checkers import Certificates
from sim.mutants.patch import Patch, always
from sim.node_epochs import DecidedSeats, Owners
from sim.vices import Resident

Bug = tuple[Patch, ...]

COUNTS_ANEW: Bug = (
    Patch(
        persistence.Recovered,
        "last_telemetry_epoch",
        lambda _: lambda found, _: found.telemetry_epoch,
    ),
)


def _remembers_its_word(_: object) -> object:
    """Take what was said last for what the ledger says."""

    def is_news(
        reporter: Reporter, report: NodeReport, state: LedgerState, *, with_measures: bool
    ) -> bool:
        del state, with_measures
        told: dict[NodeId, NodeReport] = vars(reporter).setdefault("told", {})
        before, told[report.node] = told.get(report.node), report
        return before != report

    return is_news


BELIEVES_ITS_LAST_WORD: Bug = (Patch(Reporter, "_is_news", _remembers_its_word),)


def _blames_for_late_pages(take_pages: Callable[..., str | None]) -> object:
    """Hold a page that was not asked for against whoever sent it."""

    def taken(fetcher: SnapshotFetcher, sender: bytes, answer: Pages, now: int) -> str | None:
        download = fetcher._download  # a bug is put in from outside
        peer = None if download is None else download.peers.get(sender)
        asked = () if peer is None else peer.asked
        fault = take_pages(fetcher, sender, answer, now)
        if asked and any(decode_page(page)[0] not in asked for page in answer.pages):
            return "a page of the snapshot was not asked for"
        return fault

    return taken


BLAMES_FOR_LATE_PAGES: Bug = (Patch(SnapshotFetcher, "take_pages", _blames_for_late_pages),)


def _asks_the_same_again(target: Callable[..., bytes | None]) -> object:
    """Ask whoever showed the gap last, whether it helped before or not."""

    def asked(catch_up: CatchUp, now: int) -> bytes | None:
        catch_up._asked_last = None  # a bug is put in from outside
        return target(catch_up, now)

    return asked


def _takes_any_answer(answered: Callable[..., None]) -> object:
    """Take what anybody sends for the answer that is waited for."""

    def heard(catch_up: CatchUp, sender: bytes, now: int, *, advanced: bool) -> None:
        catch_up._asked_last = sender  # a bug is put in from outside
        answered(catch_up, sender, now, advanced=advanced)

    return heard


def _waits_for_any_offer(postpone: Callable[..., None]) -> object:
    def heard(catch_up: CatchUp, sender: bytes, now: int) -> None:
        catch_up._asked_last = sender  # a bug is put in from outside
        postpone(catch_up, sender, now)

    return heard


ASKS_THE_SAME_AGAIN: Bug = (
    Patch(CatchUp, "target", _asks_the_same_again),
    Patch(CatchUp, "answered", _takes_any_answer),
    Patch(CatchUp, "postpone", _waits_for_any_offer),
)


def _sees_the_ledger_alone(wish: Callable[[Owners], None]) -> object:
    """Let an owner leave though another one wants to, as long as the ledger does not show it."""

    def wished(owners: Owners) -> None:
        up = owners._honest()  # a bug is put in from outside
        if up:
            ledger = max((host.ledger for host in up), key=lambda each: each.applied_index)
            seats = ((node, ledger.seat(node)) for node in ledger.members)
            owners._leaving = {
                node
                for node, seat in seats
                if seat is not None and any(word.wish is SeatWish.OUT for word in seat.words)
            }
        wish(owners)

    return wished


TWO_LEAVE: Bug = (Patch(Owners, "_wish", _sees_the_ledger_alone),)


def _forgets_proofs_to_bring(restored: Callable[..., None]) -> object:
    """Begin again without the proofs that may not have come into the log."""

    def begun(anchoring: Anchoring, *arguments: object) -> None:
        restored(anchoring, *arguments)
        anchoring._again.clear()  # a bug is put in from outside

    return begun


WATCHES_ITS_OWN: Bug = (Patch(AnchorWatch, "next_deadline", always(None)),)
# Who watches what the log names notices what is missing there, too: it takes both mistakes.
BRINGS_PROOFS_ONCE: Bug = (
    *WATCHES_ITS_OWN,
    Patch(Anchoring, "__init__", _forgets_proofs_to_bring),
)
HURRIES_COMMITTEES: Bug = (Patch(seasons, "liars_max", always(0)),)


def _doubles_what_it_measured(_: object) -> object:
    """Be patient for sixteen times what was measured, and that may be a storm's round trip."""

    def patience_ms(pace: Pacemaker) -> int:
        failed = min(pace.t0_ms << pace._failures, pace.t0_ms * BACKOFF_MAX)
        return failed + 2 * pace._rest_ms  # a bug is put in from outside

    return property(patience_ms)


WAITS_AS_IN_STORMS: Bug = (Patch(Pacemaker, "patience_ms", _doubles_what_it_measured),)
COUNTS_COINS_IN_FULL: Bug = (
    Patch(PegDraft, "less_sat", always(0)),
    Patch(PegDraft, "least_of", lambda _: lambda *_: {}),
)


def _sizes_with_its_fee(size_of: Callable[..., int]) -> object:
    """Measure a payment as it is to be, what its fee leaves of it included."""

    def sized(payment: PegPayment, wallets: payments.Wallets) -> int:
        payments.base_transaction(payment, 0)
        return size_of(payment, wallets)

    return sized


SIZES_WITH_ITS_FEE: Bug = (Patch(payments, "size_of", _sizes_with_its_fee),)


def _takes_the_first_word(take: Callable[..., None]) -> object:
    """Let whoever speaks first choose between wallets that are of the same keys."""

    def taken(peg: PegDraft, outpoint: Outpoint, entry: PegCoinEntry) -> None:
        number = peg.numbers.wallet
        present = peg.wallet(number)
        if entry.wallet == number or present is None:
            take(peg, outpoint, entry)
            return
        peg.put_coin(outpoint, replace(entry, state=CoinState.HELD))
        late = moved(PaymentKind.LATE, entry.node, peg.spent([outpoint]), number, present)
        fee_sat = payments.fee_at(late, peg.wallets_of(late), SWEEP_SAT_KVB)
        peg.begin(replace(late, fees_sat=(fee_sat,)), 0)

    return taken


TAKES_THE_FIRST_WORD: Bug = (Patch(peg_ins, "_take", _takes_the_first_word),)


def _asks_for_the_latest(_: object) -> object:
    """Ask for a batch that was closed this moment."""

    def due_by(checker: LogsAnchors, now: int) -> int:
        del now
        return max(checker._closed_ms, default=0)  # a bug is put in from outside

    return due_by


ASKS_FOR_THE_LATEST: Bug = (Patch(LogsAnchors, "due_by", _asks_for_the_latest),)


def _by_later_words(_: object) -> object:
    """Judge a seat by all that is said by now."""

    def words(node: Resident, steps: Sequence[object]) -> LedgerState:
        del steps
        return node.ledger

    return staticmethod(words)


JUDGES_BY_LATER_WORDS: Bug = (Patch(DecidedSeats, "_words", _by_later_words),)


def _holds_a_stop_to_its_own_term(_: object) -> object:
    """Take the last committed block for the one that two certificates in a row commit."""

    def committing(effect: Committed) -> tuple[Position, bytes]:
        return effect.blocks[-1].block.header.position, effect.blocks[-1].hash

    return staticmethod(committing)


HOLDS_A_STOP_TO_ITS_TERM: Bug = (Patch(Certificates, "_committing", _holds_a_stop_to_its_own_term),)
