"""What is asked of a node about files that others gave, and what it answers."""

from typing import Annotated

from msgspec import Meta

from ambientd.api.replies import Reply
from ambientd.api.requests import Request, Sha256

File = Annotated[bytes, Meta(max_length=8 * 1024 * 1024)]


class VerifyReceipt(Request, frozen=True):
    """Does a receipt file hold? Without a cluster's fingerprint it must be of this node's cluster.

    With a file of Bitcoin headers its anchor must be in their chain, with an output that must be
    the task's. Whoever asks believes this node; `ambientctl receipt verify` needs no node.
    """

    receipt: File
    headers: File | None = None
    output: File | None = None
    cluster: Sha256 | None = None
    epoch: Sha256 | None = None


class VerifyBlame(Request, frozen=True):
    """Do the statements in a blame certificate hold? What they are about is not executed again.

    Whoever asks believes this node; `ambientctl blame verify` needs no node, and does execute it.
    """

    blame: File
    cluster: Sha256 | None = None


class VerifyHeaders(Request, frozen=True):
    """Does a file of Bitcoin headers hold? Its tip is what others are to confirm."""

    headers: File


class VerifySplit(Request, frozen=True):
    """Does a witness's evidence show that members signed two receipt logs that cannot be one?"""

    evidence: File


class VerifyProof(Request, frozen=True):
    """Does a validity proof of an execution hold, and is it about these files?

    `image` names what was proven to run; without it the proof may be of any program. Whoever asks
    believes this node; `ambientctl proof verify` needs no node.
    """

    proof: File
    module: File | None = None
    input: File | None = None
    output: File | None = None
    image: Sha256 | None = None
    salt: Sha256 | None = None


class CheckInfo(Reply, frozen=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class Verified(Reply, frozen=True):
    """What was found; `valid` if every check holds, `trust` says what is still to be believed."""

    valid: bool
    checks: tuple[CheckInfo, ...]
    trust: tuple[str, ...]
