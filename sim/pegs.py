"""Worlds of the peg: members, a chain that reorganises, a liar, replays, crashes, new committees.

After every block of the log reserves equal liabilities and what was booked. No reorganisation is
deeper than what members wait for, so at any time every coin that the ledger holds is on the chain,
or on its way there again. In the end every peg-out is paid exactly once.
`python -m sim.pegs FIRST LAST` runs it.
"""

import random
from argparse import ArgumentParser
from hashlib import sha256

from ambientd.codec import secp256k1
from ambientd.ledger.apply import apply_block
from ambientd.ledger.draft import BlockContext
from ambientd.ledger.events import PaymentFinal, PaymentVersioned
from ambientd.ledger.peg import imbalance
from ambientd.ledger.peg_wallets import possession_digest
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import Genesis, Member, NodeKind, Profile, Rules
from ambientd.model.peg import CoinState, PaymentKind
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import (
    Body,
    PegAddress,
    PegFee,
    PegIn,
    PegOut,
    PegPaid,
    PegSigned,
    Record,
    SeatAsked,
    SeatVote,
    SeatWish,
)
from ambientd.roles.pegging import events as peg
from ambientd.roles.pegging.book import PegBook
from ambientd.roles.pegging.core import PegKeeper
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, Outpoint, decode_transaction
from ambientd.rules.peg_payments import base_transaction, digests, txid
from ambientd.rules.peg_script import child_tweak, locking_script
from sim.checkers import InvariantViolation
from sim.peg_chain import PegChain, payment_from_outside

START_MS = 1_700_000_000_000
NODES = 5
PAYEE = b"\x00\x14" + bytes(20)
STEPS = 160
LAST_STEPS = 240
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
        self.ledger = LedgerState.from_genesis(_genesis(self.keepers))
        self.proposed: list[Record] = []
        self.history: list[Record] = []
        self.now = START_MS
        self.said_ms = 0
        self.asked: dict[int, int] = {}
        self.paid: set[int] = set()
        self.is_calm = False

    def run(self) -> None:
        """Live through the seed, then let everything come to rest."""
        self._ask_for_addresses()
        for _ in range(STEPS):
            self._happen()
            self.step()
        self.is_calm = True
        for keeper in self.keepers:
            keeper.is_up = True
        self.chain.rate_sat_kvb = 1_000
        for step in range(LAST_STEPS):
            self.chain.mine()
            self.step()
            if step > CONFIRMATIONS_MIN and not self.ledger.peg_index.open_payments():
                break
        self._check_end()

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
            self._say(keeper, PegAddress())

    # What happens

    def _happen(self) -> None:
        chances = (
            (30, self._mine),
            (12, self._peg_in),
            (10, self._withdraw),
            (5, self._raise_fee),
            (5, self._reorganise),
            (6, self._change_rate),
            (6, self._go_or_come),
            (6, self._crash),
            (8, self._replay),
            (10, self._lie),
            (4, self._change_committee),
        )
        [happening] = self.dice.choices(
            [each for _, each in chances], [weight for weight, _ in chances]
        )
        happening()

    def _mine(self) -> None:
        for _ in range(self.dice.randint(1, 4)):
            self.chain.mine()

    def _peg_in(self) -> None:
        index, ledger = self.ledger.peg_index, self.ledger
        addresses = [at for at, _ in index.addresses()]
        if index.wallets and addresses:
            is_late = self.dice.random() < 0.2
            number = self.dice.choice(sorted(index.wallets)) if is_late else ledger.peg.wallet
            script = locking_script(index.wallets[number], self.dice.choice(addresses))
            self.chain.pay(script, self.dice.randint(9_000, 1_000_000))

    def _withdraw(self) -> None:
        keeper = self.dice.choice(self.keepers)
        most = self.ledger.balance_msat(keeper.node) // 1_000
        amount_sat = self.dice.randint(1, most + 100)
        fee_sat = self.dice.randint(150, 2_000)
        body = PegOut(script=PAYEE, amount_sat=amount_sat, fee_sat=fee_sat, said_ms=self._next_ms())
        self.asked[body.said_ms] = amount_sat
        self._say(keeper, body)
        if self.dice.random() < 0.3:
            self._say(keeper, body)

    def withdraw(self, keeper: Keeper, amount_sat: int, fee_sat: int) -> None:
        """Ask for a peg-out, at times twice."""
        body = PegOut(script=PAYEE, amount_sat=amount_sat, fee_sat=fee_sat, said_ms=self._next_ms())
        self.asked[body.said_ms] = amount_sat
        self._say(keeper, body)
        if self.dice.random() < 0.3:
            self._say(keeper, body)

    def _raise_fee(self) -> None:
        numbers = self.ledger.peg_index.open_payments()
        if numbers:
            number = self.dice.choice(numbers)
            entry = self.ledger.peg_payment(number)
            assert entry is not None
            author = next(
                (each for each in self.keepers if each.node == entry.payment.node), self.keepers[0]
            )
            fee_sat = entry.payment.fees_sat[-1] * self.dice.randint(2, 3)
            self._say(author, PegFee(payment=number, fee_sat=fee_sat))

    def _reorganise(self) -> None:
        depth = min(self.dice.randint(1, CONFIRMATIONS_MIN - 1), len(self.chain.blocks) - 1)
        if depth > 0:
            self.chain.reorganise(depth, drops=self.dice.random() < 0.4)

    def _change_rate(self) -> None:
        self.chain.rate_sat_kvb = self.dice.choice([1_000, 1_000, 3_000, 8_000])

    def _go_or_come(self) -> None:
        keeper = self.dice.choice(self.keepers)
        keeper.is_up = not keeper.is_up

    def _crash(self) -> None:
        self.dice.choice(self.keepers).start()

    def _replay(self) -> None:
        """Let whoever coordinates bring older records again."""
        if self.history:
            self.proposed += self.dice.sample(self.history, min(8, len(self.history)))

    def _lie(self) -> None:
        """Let one member say what is not so, with proofs of a chain that only it has."""
        index = self.ledger.peg_index
        kind = self.dice.randrange(3)
        if kind == 0 and index.wallets:
            at, node = next(index.addresses())
            number = self.ledger.peg.wallet
            script = locking_script(index.wallets[number], at)
            raw = payment_from_outside(script, 5_000_000, 10**6 + self._next_ms())
            proof = self._forged(raw)
            self._say(self.liar, PegIn(node=node, wallet=number, output=0, proof=proof))
        for number in index.open_payments():
            entry = self.ledger.peg_payment(number)
            assert entry is not None
            payment = entry.payment
            version = len(payment.fees_sat) - 1
            if kind == 1:
                junk = tuple(self.dice.randbytes(64) for _ in payment.coins)
                body = PegSigned(payment=number, version=version, signatures=junk)
                self._say(self.liar, body)
            elif kind == 2:
                proof = self._forged(base_transaction(payment, version))
                self._say(self.liar, PegPaid(payment=number, version=version, proof=proof))

    def _forged(self, raw: bytes) -> AnchorProof:
        forged, transaction = PegChain(self.dice), decode_transaction(raw)
        forged.mine([transaction])
        for _ in range(CONFIRMATIONS_MIN):
            forged.mine()
        return forged.proof(transaction.txid)

    def _change_committee(self) -> None:
        """Let a member go, or one come back, which makes another wallet."""
        out = [each for each in self.keepers if each.node not in self.ledger.members]
        if not out and self.ledger.epoch_due is None:
            keeper = self.dice.choice(self.keepers)
            word = SeatVote(node=keeper.node, wish=SeatWish.OUT, said_ms=self._next_ms())
            self._say(keeper, word)
        for keeper in out:
            tip = sha256(b"tip %d" % self._next_ms()).digest()
            self._say(keeper, SeatAsked(beacon_tip=tip, bond_msat=0, asked_ms=self.said_ms))
            for other in self.keepers:
                if other is not keeper:
                    word = SeatVote(node=keeper.node, wish=SeatWish.IN, said_ms=self._next_ms())
                    self._say(other, word)

    # The log and the members

    def _next_ms(self) -> int:
        self.said_ms += 1
        return self.said_ms

    def _say(self, keeper: Keeper, body: Body) -> None:
        self.proposed.append(Record(author=keeper.node, body=body, signature=bytes(64)))

    def step(self, *, checks_coins: bool = True) -> None:
        """Let the members work, then apply a block of what they say."""
        for keeper in self.keepers:
            if keeper.is_up:
                self._work(keeper, peg.Ticked())
        due = self.ledger.epoch_due
        if due is not None:
            self._say(self.keepers[0], due)
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
        if checks_coins:
            self._check_coins()

    def _work(self, keeper: Keeper, event: peg.Event) -> None:
        """Carry out what a member decides; it may crash between any two effects."""
        for effect in keeper.core.handle(event, self.ledger, now=self.now):
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
                case peg.ProposePeg(body=body):
                    if self.is_calm or keeper is not self.liar or self.dice.random() < 0.5:
                        self._say(keeper, body)

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
        if not self.chain.is_deep(event.txid):
            raise InvariantViolation(
                "final is deep in the chain",
                f"payment {event.payment} is final and not in the chain",
            )

    def _check_coins(self) -> None:
        """Every coin that is held is on the chain or comes back after a reorganisation."""
        alive = set(self.chain.unspent) | {
            outpoint for each in self.chain.waiting.values() for outpoint, _ in each.outpoints()
        }
        for wallet in self.ledger.peg_index.wallets:
            for value_sat, outpoint in self.ledger.peg_index.candidates(wallet, 0):
                if outpoint not in alive:
                    raise InvariantViolation(
                        "what is held is on the chain",
                        f"a held coin of {value_sat} sat is not on the chain",
                    )

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
            if payment.kind is PaymentKind.PEG_OUT and entry.final is None:
                raise InvariantViolation("payments come to an end", f"payment {number} has no end")
        for coin, name in self.chain.spends.items():
            entry_of = self.ledger.peg_coin(coin.txid, coin.index)
            if entry_of is not None and entry_of.state is not CoinState.SPENT:
                raise InvariantViolation(
                    "what is held is on the chain",
                    f"a coin was spent by {name.hex()} behind the ledger",
                )


def _genesis(keepers: list[Keeper]) -> Genesis:
    profile = Profile(name="member", region="here", kind=NodeKind.COMPUTE)
    return Genesis(
        version=1,
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
        rules=Rules(keep_ms=60_000),
    )


def main() -> None:
    """Run worlds of the peg, one a seed."""
    parser = ArgumentParser(prog="python -m sim.pegs", description=main.__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    arguments = parser.parse_args()
    totals = [0, 0, 0]
    for seed in range(arguments.first, arguments.last + 1):
        world = PegWorld(seed)
        try:
            world.run()
        except InvariantViolation as error:
            raise SystemExit(f"seed {seed}: {error}") from error
        numbers = world.ledger.peg
        totals = [
            totals[0] + numbers.payments,
            totals[1] + numbers.wallet,
            totals[2] + numbers.in_sat,
        ]
    worlds = arguments.last - arguments.first + 1
    print(f"{worlds} worlds: {totals[0]} payments, {totals[1]} wallets, {totals[2]} sat came in")  # noqa: T201


if __name__ == "__main__":
    main()
