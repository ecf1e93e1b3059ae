"""Which of two proofs of the same root is to be kept (protocols/03-records.md section 3)."""

from collections.abc import Sequence

from ambientd.model.receipt import AnchorProof
from ambientd.rules.bitcoin import decode_header
from ambientd.rules.header_chain import work_of


def supersedes(new: AnchorProof, old: AnchorProof) -> bool:
    """Tell whether a checked proof takes the place of another: another block, under more work.

    Of two Bitcoin blocks that exclude each other the one with more work on it is in the best
    chain, so an anchor that a reorganisation has undone is replaced by one that was mined since.
    """
    if new.header == old.header:
        return False
    return _work(new) > _work(old)


def _work(proof: AnchorProof) -> int:
    headers: Sequence[bytes] = (proof.header, *proof.following_headers)
    return sum(work_of(decode_header(header).bits) for header in headers)
