"""A ledger with nodes that prove, and what members say of their proofs."""

from ambientd.codec.statements import sign_proof_word
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Rules
from ambientd.model.proof import Finding, ProofTerms
from ambientd.model.record import ProofFound, Prover
from tests.ledger.cluster import START_MS, TestCluster

CYCLES = 1 << 16
TERMS = ProofTerms(cycles_max=1 << 17, price_msat_per_mcycle=1_000)


class ProvingCluster(TestCluster):
    """Four members, of which the second and the third prove."""

    __test__ = False

    @classmethod
    def made(
        cls, provers: tuple[int, ...] = (1, 2), rules: Rules | None = None
    ) -> "ProvingCluster":
        """Give the cluster after its provers have spoken."""
        cluster = cls(rules=rules)
        said = Prover(cycles_max=TERMS.cycles_max, said_ms=START_MS)
        cluster.block(*((number, said) for number in provers))
        return cluster

    def prove(self, terms: ProofTerms = TERMS) -> TaskId:
        """Admit a proven task and open its answer."""
        task = self.admit(assurance=terms, replicas=1)
        self.work(task)
        return task

    def number(self, node: NodeId) -> int:
        """Give a member's number."""
        return next(number for number in range(self.members) if self.node(number) == node)

    def word(
        self, task: TaskId, member: int, finding: Finding, cycles: int | None = None
    ) -> tuple[int, ProofFound]:
        """Give a member's word on the proof of the answer that is open."""
        receipt = self.task(task).receipts[0].receipt
        told = (CYCLES if finding is Finding.HOLDS else 0) if cycles is None else cycles
        word = sign_proof_word(
            self.signer(member), task, receipt.attempt, receipt.nonce, finding, told
        )
        return member, ProofFound(word=word)

    def say(self, task: TaskId, finding: Finding, count: int = 3) -> None:
        """Let so many members say the same, one after the other."""
        for member in range(count):
            self.block(self.word(task, member, finding))
