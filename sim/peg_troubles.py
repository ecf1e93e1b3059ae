"""What befalls a world of the peg: peg-ins, peg-outs, reorganisations, crashes, lies, seats."""

from hashlib import sha256
from typing import TYPE_CHECKING

from ambientd.ledger.peg_ends import KEPT_MS
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import (
    PegIn,
    PegMoved,
    PegPaid,
    PegSigned,
    SeatAsked,
    SeatVote,
    SeatWish,
)
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, decode_transaction
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT, base_transaction
from ambientd.rules.peg_script import locking_script
from sim.peg_chain import TIME_S, PegChain, payment_from_outside

if TYPE_CHECKING:
    from sim.pegs import PegWorld

DEEPEST = 20


class PegTroubles:
    """Draws what happens next, and does it."""

    def __init__(self, world: "PegWorld") -> None:
        self.world = world
        self.dice, self.chain = world.dice, world.chain
        self.ledger, self.keepers = world.ledger, world.keepers

    def happen(self) -> None:
        """Let one thing happen."""
        chances = (
            (30, 40, self._mine),
            (12, 12, self._peg_in),
            (10, 24, self._withdraw),
            (5, 30, self._raise_fee),
            (5, 2, self._reorganise),
            (1, 8, self._reorganise_deeply),
            (0, 3, self._pay_in_turn),
            (4, 8, self._wait),
            (6, 2, self._change_rate),
            (6, 2, self._go_or_come),
            (6, 4, self._crash),
            (8, 4, self._replay),
            (10, 4, self._lie),
            (4, 4, self._change_committee),
            (4, 4, self._take_back),
        )
        [happening] = self.dice.choices(
            [each for _, _, each in chances],
            [deep if self.world.is_deep else shallow for shallow, deep, _ in chances],
        )
        happening()

    def _mine(self) -> None:
        for _ in range(self.dice.randint(1, 4)):
            self.chain.mine()

    def _pay_in_turn(self) -> None:
        """Let payments follow one another, each as soon as the last is final, then undo them."""
        blocks = len(self.chain.blocks)
        for _ in range(self.dice.randint(2, 3)):
            for _ in range(3):
                self._withdraw()
            for _ in range(self.dice.randint(3, 6)):
                self.world.step()
                if self.dice.random() < 0.5:
                    self._raise_fee()
            for _ in range(CONFIRMATIONS_MIN):
                self.chain.mine()
            for _ in range(3):
                self.world.step()
        self.chain.reorganise(len(self.chain.blocks) - blocks, drops=False, swaps=True)
        self.world.deep += 1

    def _peg_in(self) -> None:
        index, ledger = self.ledger.peg_index, self.ledger
        addresses = [at for at, _ in index.addresses()]
        if index.wallets and addresses:
            is_late = self.dice.random() < 0.2
            number = self.dice.choice(sorted(index.wallets)) if is_late else ledger.peg.wallet
            script = locking_script(index.wallets[number], self.dice.choice(addresses))
            least_sat = 600 if self.dice.random() < 0.2 else 9_000
            most_sat = 11_000 if least_sat == 600 else 1_000_000
            self.chain.pay(script, self.dice.randint(least_sat, most_sat))

    def _withdraw(self) -> None:
        keeper = self.dice.choice(self.keepers)
        most = self.ledger.balance_msat(keeper.node) // 1_000
        amount_sat = self.dice.randint(1, most + 100)
        fee_sat = self.dice.randint(150, 2_000)
        self.world.withdraw(keeper, amount_sat, fee_sat)

    def _take_back(self) -> None:
        """Let somebody ask for what came in and is never credited, or for any other output."""
        owners = dict(self.ledger.peg_index.addresses())
        wallets = self.ledger.peg_index.wallets
        of_script = {
            locking_script(wallet, at): node
            for wallet in wallets.values()
            for at, node in owners.items()
        }
        found = [
            (outpoint, output)
            for outpoint, output in self.chain.unspent.items()
            if output.script in of_script
        ]
        small = [each for each in found if each[1].value_sat < PEG_IN_MIN_SAT]
        choices = small if small and self.dice.random() < 0.8 else found
        if choices:
            outpoint, output = self.dice.choice(choices)
            owner = next(each for each in self.keepers if each.node == of_script[output.script])
            self.world.take_back(owner, outpoint, self.dice.randint(150, 2_000))

    def _raise_fee(self) -> None:
        numbers = self.ledger.peg_index.open_payments()
        if numbers:
            number = self.dice.choice(numbers)
            entry = self.ledger.peg_payment(number)
            assert entry is not None
            author = next(
                (each for each in self.keepers if each.node == entry.payment.node),
                self.keepers[0],
            )
            self.world.raise_to(
                author, number, entry.payment.fees_sat[-1] * self.dice.randint(2, 3)
            )

    def _reorganise(self) -> None:
        depth = min(self.dice.randint(1, CONFIRMATIONS_MIN - 1), len(self.chain.blocks) - 1)
        if depth > 0:
            drops = self.dice.random() < 0.4
            self.chain.reorganise(depth, drops=drops, swaps=self.dice.random() < 0.5)

    def _reorganise_deeply(self) -> None:
        depth = self.dice.randint(CONFIRMATIONS_MIN + 1, DEEPEST)
        if depth < len(self.chain.blocks):
            self.chain.reorganise(depth, drops=False, swaps=True)
            self.world.deep += 1

    def _wait(self) -> None:
        """Let hours pass, so that members may raise the fees of what is everybody's."""
        for_ms = self.dice.randint(1, 26) * 3_600_000
        # What is forgotten is undone no more, and this world undoes everything.
        if self.world.now + for_ms < TIME_S * 1_000 + 9 * KEPT_MS // 10:
            self.world.now += for_ms

    def _change_rate(self) -> None:
        self.chain.rate_sat_kvb = self.dice.choice([1_000, 1_000, 3_000, 8_000])

    def _go_or_come(self) -> None:
        keeper = self.dice.choice(self.keepers)
        keeper.is_up = not keeper.is_up

    def _crash(self) -> None:
        self.dice.choice(self.keepers).start()

    def _replay(self) -> None:
        """Let whoever coordinates bring older records again."""
        if self.world.history:
            self.world.proposed += self.dice.sample(
                self.world.history, min(8, len(self.world.history))
            )

    def _lie(self) -> None:
        """Let one member say what is not so, with proofs of a chain that only it has."""
        index = self.ledger.peg_index
        kind = self.dice.randrange(4)
        if kind == 3:
            self._lie_of_the_end()
        if kind == 0 and index.wallets:
            at, node = next(index.addresses())
            number = self.ledger.peg.wallet
            script = locking_script(index.wallets[number], at)
            raw = payment_from_outside(script, 5_000_000, 10**6 + self.world.next_ms())
            proof = self._forged(raw)
            self.world.say(self.world.liar, PegIn(node=node, wallet=number, output=0, proof=proof))
        for number in index.open_payments():
            entry = self.ledger.peg_payment(number)
            assert entry is not None
            payment = entry.payment
            version = len(payment.fees_sat) - 1
            if kind == 1:
                junk = tuple(self.dice.randbytes(64) for _ in payment.coins)
                body = PegSigned(payment=number, version=version, signatures=junk)
                self.world.say(self.world.liar, body)
            elif kind == 2:
                proof = self._forged(base_transaction(payment, version))
                self.world.say(
                    self.world.liar, PegPaid(payment=number, version=version, proof=proof)
                )

    def _lie_of_the_end(self) -> None:
        """Let one member say that another version of a final payment is mined."""
        for number, end in sorted(self.ledger.peg_index.ends.items()):
            entry = self.ledger.peg_payment(number)
            assert entry is not None
            for version in range(len(entry.payment.fees_sat)):
                proof = self._forged(base_transaction(entry.payment, version))
                body = PegMoved(payment=number, version=version, turn=end.turn, proof=proof)
                self.world.say(self.world.liar, body)

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
            word = SeatVote(node=keeper.node, wish=SeatWish.OUT, said_ms=self.world.next_ms())
            self.world.say(keeper, word)
        for keeper in out:
            tip = sha256(b"tip %d" % self.world.next_ms()).digest()
            self.world.say(
                keeper, SeatAsked(beacon_tip=tip, bond_msat=0, asked_ms=self.world.said_ms)
            )
            for other in self.keepers:
                if other is not keeper:
                    word = SeatVote(
                        node=keeper.node, wish=SeatWish.IN, said_ms=self.world.next_ms()
                    )
                    self.world.say(other, word)
