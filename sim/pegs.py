"""Worlds of the peg: members, a chain that reorganises, a liar, replays, crashes, new committees.

After every block of the log reserves equal liabilities and what was booked. Some reorganisations
are deeper than what members wait for, and mine other versions of payments than those that were
final. Peg-ins come back, so that every one that the ledger holds is on the chain, or on its way
there again. In the end every peg-out is paid exactly once, and the chain has what the books say.
In a quarter of the worlds the peg may hold only so much (`sim.peg_bounds`).
`python -m sim sweep peg --seeds 1..100` runs them.
"""

import random
from hashlib import sha256

from ambientd.codec import secp256k1
from ambientd.ledger.apply import apply_block
from ambientd.ledger.draft import BlockContext
from ambientd.ledger.peg import imbalance
from ambientd.ledger.peg_ends import FORGOTTEN_MAX, KEPT_MS
from ambientd.ledger.peg_events import PaymentFinal, PaymentSigned, PaymentVersioned
from ambientd.ledger.peg_wallets import possession_digest
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import FIRST_STATE_VERSION, Genesis, Member, NodeKind, Profile, Rules
from ambientd.model.peg import CoinState, PaymentKind
from ambientd.model.record import (
    Body,
    PegAddress,
    PegFee,
    PegOut,
    PegReturn,
    Record,
)
from ambientd.roles.pegging import events as peg
from ambientd.roles.pegging.book import PegBook
from ambientd.roles.pegging.core import PegKeeper, combined
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, Outpoint
from ambientd.rules.peg_payments import CHANGE_INDEX, digests, outputs, txid
from ambientd.rules.peg_script import child_tweak
from sim.checkers import InvariantViolation
from sim.peg_bounds import BoundWatch, drawn_most_sat
from sim.peg_chain import PegChain
from sim.peg_troubles import PegTroubles

START_MS = 1_700_000_000_000
NODES = 5
PAYEE = b"\x00\x14" + bytes(20)
SENDER = b"\x00\x14" + bytes(19) + b"\x01"
STEPS = 160
LAST_STEPS = 600
"""A world ends once it is at rest; of the seeds 1 to 400 none took more than 133 steps."""
STEP_MS = 5_000


class Keeper:
    """A member with its key and its disk; a crash loses all but these."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.node = NodeId(sha256(b"node %d" % number).digest())
        self.secret = int.from_bytes(sha256(b"secret %d" % number).digest(), "big")
        self.key = secp256k1.key_of(self.secret)
        self.chain_code = sha256(b"chain code %d" % number).digest()
        self.disk = PegBook()
        self.signed: dict[Outpoint, int] = {}
        self.is_up = True
        self.start()

    def start(self) -> None:
        """Begin with what is on disk."""
        self.core = PegKeeper(self.node, self.disk, self.key)

    def child(self, index: int) -> int:
        """Give the secret of an index."""
        return (self.secret + child_tweak(self.key, self.chain_code, index)) % secp256k1.ORDER


class PegWorld:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.chain = PegChain(self.dice)
        self.keepers = [Keeper(number) for number in range(NODES)]
        self.liar = self.keepers[-1]
        self.most_sat = drawn_most_sat(seed)
        self.ledger = LedgerState.from_genesis(_genesis(self.keepers, self.most_sat))
        self.bound = BoundWatch(self.ledger, self.most_sat)
        self.proposed: list[Record] = []
        self.history: list[Record] = []
        self.now = START_MS
        self.said_ms = 0
        self.asked: dict[int, int] = {}
        self.paid: set[int] = set()
        self.deep = 0
        self.moved = 0
        self.returned = 0
        self.is_calm = False
        self.is_deep = self.dice.random() < 0.5
        """Whether this is a world of many payments and deep reorganisations."""

    def run(self) -> None:
        """Live through the seed, then let everything come to rest."""
        self._ask_for_addresses()
        troubles = PegTroubles(self)
        for _ in range(STEPS):
            troubles.happen()
            self.step()
        self.is_calm = True
        for keeper in self.keepers:
            keeper.is_up = True
        self.chain.rate_sat_kvb = 1_000
        for step in range(LAST_STEPS):
            self.chain.mine()
            self.step()
            if step > CONFIRMATIONS_MIN and self._is_at_rest():
                break
        self._check_end()
        self._let_forget()
        self._let_in()

    def _let_in(self) -> None:
        """Let members say what waits and fits, until nothing does."""
        for _ in range(LAST_STEPS):
            if not self.bound.fitting(self.chain.unspent):
                return
            self.chain.mine()
            self.step()
        raise InvariantViolation("what fits is counted", "a peg-in waits though there is room")

    def _let_forget(self) -> None:
        """Let so much time pass that no payment can be undone: all that was kept goes back."""
        self.now += KEPT_MS
        for _ in range(self.ledger.peg.payments // FORGOTTEN_MAX + 2):
            self.step()
        left_sat = 0
        for number in self.ledger.peg_index.open_payments():
            entry = self.ledger.peg_payment(number)
            assert entry is not None
            kind = entry.payment.kind
            left_sat += entry.payment.fees_sat[-1] if kind is PaymentKind.SWEEP else 0
            if kind is PaymentKind.PEG_OUT:
                raise InvariantViolation("payments come to an end", f"payment {number} began late")
        if self.ledger.peg_index.ends or self.ledger.peg.leaving_sat != left_sat:
            raise InvariantViolation(
                "what was kept goes back",
                f"{self.ledger.peg.leaving_sat} sat leave, of which {left_sat} are under way",
            )

    def open(self) -> None:
        """Have a wallet and addresses, and nothing else."""
        self._ask_for_addresses()
        while not self.ledger.peg.wallet:
            self.step()

    def owner(self) -> Keeper:
        """Give who has the most."""
        return max(self.keepers, key=lambda each: self.ledger.balance_msat(each.node))

    def _ask_for_addresses(self) -> None:
        for keeper in self.keepers:
            self.say(keeper, PegAddress())

    def withdraw(self, keeper: Keeper, amount_sat: int, fee_sat: int) -> None:
        """Ask for a peg-out, at times twice."""
        body = PegOut(script=PAYEE, amount_sat=amount_sat, fee_sat=fee_sat, said_ms=self.next_ms())
        self.asked[body.said_ms] = amount_sat
        self.say(keeper, body)
        if self.dice.random() < 0.3:
            self.say(keeper, body)

    def take_back(self, keeper: Keeper, coin: Outpoint, fee_sat: int) -> None:
        """Ask for something back, to a payee who gets nothing else."""
        body = PegReturn(
            txid=coin.txid,
            output=coin.index,
            script=SENDER,
            fee_sat=fee_sat,
            said_ms=self.next_ms(),
        )
        self.say(keeper, body)

    def raise_to(self, keeper: Keeper, payment: int, fee_sat: int) -> None:
        """Ask for a version with a higher fee."""
        self.say(keeper, PegFee(payment=payment, fee_sat=fee_sat))

    # The log and the members

    def next_ms(self) -> int:
        """Give the next time that anybody says."""
        self.said_ms += 1
        return self.said_ms

    def say(self, keeper: Keeper, body: Body) -> None:
        """Propose a member's record for the next block."""
        self.proposed.append(Record(author=keeper.node, body=body, signature=bytes(64)))

    def step(self, *, checks_coins: bool = True) -> None:
        """Let the members work, then apply a block of what they say."""
        for keeper in self.keepers:
            if keeper.is_up:
                self._work(keeper, peg.Ticked())
        due = self.ledger.epoch_due
        if due is not None:
            self.say(self.keepers[0], due)
        self.now += STEP_MS
        records, self.proposed = self.proposed, []
        self.dice.shuffle(records)
        context = BlockContext(
            index=self.ledger.applied_index + 1,
            term=1,
            time_ms=self.now,
            beacon=self.dice.randbytes(32),
            hash=self.dice.randbytes(32),
        )
        done = apply_block(self.ledger, context, records)
        self.ledger.commit(context.index, done.writes, done.tree)
        self.history += records
        fault = imbalance(self.ledger)
        if fault is not None:
            raise InvariantViolation(
                "reserves equal liabilities", f"reserves differ from liabilities: {fault}"
            )
        for event in done.events:
            if isinstance(event, PaymentVersioned) and event.said_ms:
                self._check_asked(event)
            elif isinstance(event, PaymentFinal):
                self._check_final(event)
            elif isinstance(event, PaymentSigned):
                self._keep_signed(event)
        self.bound.check(done.events)
        if checks_coins:
            self._check_coins()

    def _keep_signed(self, event: PaymentSigned) -> None:
        """Let somebody keep a version that is complete: it may be mined at any time."""
        entry = self.ledger.peg_payment(event.payment)
        assert entry is not None
        raw = combined(self.ledger, entry, event.version)
        if raw is not None:  # else its coins have other names since, in this very block
            self.chain.keep(raw)

    def _work(self, keeper: Keeper, event: peg.Event) -> None:
        """Carry out what a member decides; it may crash between any two effects."""
        core = keeper.core
        for effect in core.handle(event, self.ledger, now=self.now):
            if keeper.core is not core:
                return  # it crashed when it heard of what came before
            if not self.is_calm and self.dice.random() < 0.01:
                keeper.start()
                return
            match effect:
                case peg.PersistBook(book=book):
                    keeper.disk = book
                case peg.ProveKey():
                    digest = possession_digest(
                        self.ledger.cluster, keeper.node, keeper.key, keeper.chain_code
                    )
                    possession = secp256k1.sign(keeper.secret, digest)
                    shown = peg.KeySigned(keeper.key, keeper.chain_code, possession)
                    self._work(keeper, shown)
                case peg.SignVersion():
                    self._work(keeper, self._signed(keeper, effect))
                case peg.SendPayment(raw=raw):
                    self.chain.send(raw)
                case peg.LookForPegIns(places=places):
                    for found in self._peg_ins(places):
                        self._work(keeper, found)
                case peg.LookForPayment(number=number, txids=names):
                    for version, name in enumerate(names):
                        if self.chain.is_deep(name):
                            proof = self.chain.proof(name)
                            self._work(keeper, peg.PaymentSeen(number, version, proof))
                case peg.LookForCoins(looks=looks):
                    self._work(keeper, self._coins(looks))
                case peg.ProposePeg(body=body):
                    if self.is_calm or keeper is not self.liar or self.dice.random() < 0.5:
                        self.say(keeper, body)

    def _signed(self, keeper: Keeper, effect: peg.SignVersion) -> peg.VersionSigned:
        payment = effect.payment
        found = digests(payment, effect.version, self.ledger.peg_index.wallets)
        signatures = []
        for coin, digest in zip(payment.coins, found, strict=True):
            before = keeper.signed.setdefault(Outpoint(coin.txid, coin.output), effect.number)
            if before != effect.number:
                raise InvariantViolation(
                    "no coin is signed away twice",
                    f"{keeper.number} signs a coin away a second time",
                )
            signatures.append(secp256k1.sign(keeper.child(coin.index), digest))
        return peg.VersionSigned(effect.number, effect.version, tuple(signatures))

    def _peg_ins(self, places: tuple[peg.Place, ...]) -> list[peg.PegInSeen]:
        wanted = {place.script: place for place in places}
        return [
            peg.PegInSeen(wanted[output.script], outpoint.index, self.chain.proof(outpoint.txid))
            for outpoint, output in sorted(
                self.chain.unspent.items(), key=lambda each: (each[0].txid, each[0].index)
            )
            if output.script in wanted and self.chain.is_deep(outpoint.txid)
        ]

    def _coins(self, looks: tuple[peg.Look, ...]) -> peg.CoinsSeen:
        chain = self.chain
        found = frozenset(
            look.coin
            for look in looks
            if look.coin in chain.unspent
            or look.coin.txid in chain.waiting
            or (look.is_reserved and chain.has(look.coin.txid))
        )
        return peg.CoinsSeen(tuple(look.coin for look in looks), found)

    # What must hold

    def _check_asked(self, event: PaymentVersioned) -> None:
        if event.said_ms in self.paid:
            raise InvariantViolation(
                "a peg-out is paid once",
                f"one request to withdraw is payment {event.payment} as well",
            )
        self.paid.add(event.said_ms)
        entry = self.ledger.peg_payment(event.payment)
        if entry is None or entry.payment.amount_sat != self.asked[event.said_ms]:
            raise InvariantViolation(
                "a peg-out is paid as asked",
                f"payment {event.payment} is not what was asked for",
            )

    def _check_final(self, event: PaymentFinal) -> None:
        end = self.ledger.peg_index.ends[event.payment]
        self.moved += bool(end.turn)
        # Older words may be brought again after a deep reorganisation.
        if not self.chain.is_deep(event.txid) and event.txid not in self.chain.were_deep:
            raise InvariantViolation(
                "final is deep in the chain",
                f"payment {event.payment} is final and not in the chain",
            )

    def _check_coins(self) -> None:
        """Every coin that is held is on the chain or comes back after a reorganisation."""
        alive = set(self.chain.unspent) | {
            outpoint for each in self.chain.waiting.values() for outpoint, _ in each.outpoints()
        }
        for outpoint in self.ledger.peg_index.held():
            entry = self.ledger.peg_coin(outpoint.txid, outpoint.index)
            assert entry is not None
            # What came back may have another name after a deep reorganisation, until members see.
            is_sure = not self.deep or entry.index != CHANGE_INDEX
            if is_sure and outpoint not in alive:
                raise InvariantViolation(
                    "what is held is on the chain",
                    f"a held coin of {entry.value_sat} sat is not on the chain",
                )

    def _is_at_rest(self) -> bool:
        """Tell whether all payments are final, and mined as the ledger says."""
        ledger = self.ledger
        if ledger.peg_index.open_payments():
            return False
        for number in range(1, ledger.peg.payments + 1):
            entry = ledger.peg_payment(number)
            assert entry is not None, "no world lasts so long that payments are forgotten"
            assert entry.final is not None
            if not self.chain.is_deep(txid(entry.payment, entry.final)):
                return False
        return True

    def _check_end(self) -> None:
        left = self.ledger.peg_index.open_payments()
        if left:
            raise InvariantViolation(
                "payments come to an end", f"payments {left} never became final"
            )
        for number in range(1, self.ledger.peg.payments + 1):
            entry = self.ledger.peg_payment(number)
            assert entry is not None
            payment = entry.payment
            names = [txid(payment, version) for version in range(len(payment.fees_sat))]
            mined = [name for name in names if self.chain.height_of(name) is not None]
            if len(mined) != 1:
                raise InvariantViolation(
                    "one version is mined", f"{len(mined)} versions of payment {number} are mined"
                )
            if entry.final is None or names[entry.final] != mined[0]:
                raise InvariantViolation(
                    "payments come to an end", f"payment {number} is final as it was not mined"
                )
        paid_sat = sum(
            output.value_sat for output in self.chain.unspent.values() if output.script == PAYEE
        )
        if paid_sat != self.ledger.peg.out_sat:
            raise InvariantViolation(
                "what is owed is paid once",
                f"payees have {paid_sat} sat, the books say {self.ledger.peg.out_sat}",
            )
        self._check_returned()
        for outpoint in self.ledger.peg_index.held():
            if outpoint not in self.chain.unspent:
                raise InvariantViolation(
                    "what is held is on the chain", f"the chain lacks {outpoint.txid.hex()}"
                )
        for coin, name in self.chain.spends.items():
            entry_of = self.ledger.peg_coin(coin.txid, coin.index)
            gone = (CoinState.SPENT, CoinState.RETURNED)
            if entry_of is not None and entry_of.state not in gone:
                raise InvariantViolation(
                    "what is held is on the chain",
                    f"a coin was spent by {name.hex()} behind the ledger",
                )

    def _check_returned(self) -> None:
        """Compare what went back with what the ledger decided: no more, and nothing credited."""
        entries = [
            self.ledger.peg_payment(number) for number in range(1, self.ledger.peg.payments + 1)
        ]
        back = [entry for entry in entries if entry and entry.payment.kind is PaymentKind.RETURN]
        self.returned = len(back)
        owed_sat = sum(outputs(each.payment, each.final or 0)[0][0] for each in back)
        paid_sat = sum(
            output.value_sat for output in self.chain.unspent.values() if output.script == SENDER
        )
        if paid_sat != owed_sat:
            raise InvariantViolation(
                "what goes back goes back once",
                f"senders have {paid_sat} sat, the ledger decided on {owed_sat}",
            )


def _genesis(keepers: list[Keeper], most_sat: int) -> Genesis:
    profile = Profile(name="member", region="here", kind=NodeKind.COMPUTE)
    return Genesis(
        state_version=FIRST_STATE_VERSION,
        name="peg",
        created_ms=START_MS,
        bitcoin_network="regtest",
        members=tuple(
            Member(
                node=keeper.node,
                profile=profile,
                beacon_tip=Digest(sha256(b"beacon %d" % keeper.number).digest()),
                grant_msat=0,
                bond_msat=0,
            )
            for keeper in keepers
        ),
        rules=Rules(keep_ms=60_000, peg_sat_max=most_sat),
    )
