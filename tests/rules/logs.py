"""Receipt logs that a quorum signs, also two of them that begin alike."""

from ambientd.codec.merkle import leaf_hash
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.model.genesis import Genesis
from ambientd.model.receipt import CheckpointNote, Cosignature
from ambientd.model.witness import LogUpdate, Prefix, SignedHead
from ambientd.rules.notes import note_text
from ambientd.rules.receipt_tree import ReceiptTree
from ambientd.rules.witnessing import UPDATE_VERSION
from tests.ledger.cluster import genesis, seed_of

GENESIS = genesis(4)
SIGNERS = [Signer(seed_of(number), fingerprint(GENESIS)) for number in range(4)]


class Log:
    """A log whose leaves from `fork` on are its own."""

    def __init__(self, size: int, *, fork: int | None = None, founded: Genesis = GENESIS) -> None:
        own = size if fork is None else fork
        names = [b"leaf %d" % at if at < own else b"other %d" % at for at in range(size)]
        self.tree = ReceiptTree(leaf_hash(name) for name in names)
        self.genesis = founded

    def head(self, size: int, signers: tuple[int, ...] = (0, 1, 2)) -> SignedHead:
        root = self.tree.root(size)
        text = note_text(fingerprint(self.genesis), size, root)
        cosignatures = tuple(
            Cosignature(
                member=SIGNERS[number].public_key, signature=SIGNERS[number].sign_note(text)
            )
            for number in signers
        )
        return SignedHead(
            epochs=(), note=CheckpointNote(size=size, root=root, cosignatures=cosignatures)
        )

    def prefix(self, old_size: int, size: int) -> Prefix:
        path = tuple(self.tree.consistency_path(old_size, size))
        return Prefix(size=old_size, root=self.tree.root(old_size), path=path)

    def update(self, size: int, since: int = 0, signers: tuple[int, ...] = (0, 1, 2)) -> LogUpdate:
        small, large = sorted((since, size))
        return LogUpdate(
            version=UPDATE_VERSION,
            genesis=self.genesis,
            head=self.head(size, signers),
            prefix=self.prefix(small, large) if 0 < small < large else None,
        )
