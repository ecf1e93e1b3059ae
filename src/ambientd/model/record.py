"""Records: what is proposed to the log. A body, its author, and the author's signature."""

from enum import IntEnum
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId, TaskId, Value
from ambientd.model.dispute import SegmentVerdict, Trace
from ambientd.model.genesis import FIRST_STATE_VERSION, Profile
from ambientd.model.image import ImageClaim
from ambientd.model.learning_record import LearningBody
from ambientd.model.mark import Mark
from ambientd.model.offer import SlotName
from ambientd.model.proof import ProofWord
from ambientd.model.receipt import AnchorProof, CheckpointNote, RefereeVerdict, SignedReceipt
from ambientd.model.task import Commit, TaskSpec


class Join(Value, frozen=True, tag=1):
    """A node enters the allow-list: the inviter's grant, and the invite key's word for the node."""

    node: NodeId
    profile: Profile
    inviter: NodeId
    invite_key: bytes
    expires_ms: int
    grant_signature: bytes
    invite_signature: bytes


class NodeReport(Value, frozen=True):
    """One node's condition in coarse buckets, as one member finds it."""

    node: NodeId
    accepting: bool
    safe_mode: bool = False
    health_percent: int = 50
    load_percent: int = 50
    latency_ms: int = 1000
    carbon_g_per_kwh: int = 1000
    capacity: int = 1
    engine: int = 0


class Registry(Value, frozen=True, tag=3):
    """One member's word on the nodes' conditions; only several together enter scheduling.

    `observed_ms` orders what the author says: a word that is brought again counts for nothing.
    """

    reports: tuple[NodeReport, ...]
    observed_ms: int = 0


class Admit(Value, frozen=True, tag=4):
    """A task is accepted and its fee put into escrow; the author is the submitter.

    Only until `until_ms`: ended tasks are forgotten, and no old record shall bring them back.
    """

    nonce: bytes
    spec: TaskSpec
    until_ms: int


class Cancel(Value, frozen=True, tag=5):
    """The submitter takes a task back, as long as not all slots have committed."""

    task: TaskId


class Commits(Value, frozen=True, tag=6):
    """Sealed answers, each signed by its worker."""

    commits: tuple[Commit, ...]


class Settle(Value, frozen=True, tag=7):
    """Opened answers, each signed by its worker."""

    task: TaskId
    receipts: tuple[SignedReceipt, ...]


class DisputeStep(Value, frozen=True, tag=8):
    """A referee's finding on a disputed task."""

    verdict: RefereeVerdict


class Checkpoint(Value, frozen=True, tag=9):
    """A batch is closed: the receipt log's head with a quorum of cosignatures."""

    note: CheckpointNote


class Anchor(Value, frozen=True, tag=10):
    """A batch's root is in a Bitcoin block with enough confirmations."""

    size: int
    root: Digest
    proof: AnchorProof


class Fraud(Value, frozen=True, tag=11):
    """Two statements of one key that contradict each other (EVIDENCE), as raw signed bytes."""

    culprit: NodeId
    kind: str
    first: bytes
    second: bytes


class SeatAsked(Value, frozen=True, tag=12):
    """The author wants a seat in the committee; what it adds to its bond is at risk from now on.

    `asked_ms` orders the author's own requests and tells its beacon chains apart.
    """

    beacon_tip: bytes
    bond_msat: int
    asked_ms: int


class SeatWish(IntEnum):
    """What a member wants for a node."""

    OUT = 0
    IN = 1
    INSTEAD = 2
    """In, and in the place of whoever leaves or stands lower."""


class SeatVote(Value, frozen=True, tag=13):
    """A member's word on a node's seat, or anybody's word on its own; the last one counts."""

    node: NodeId
    wish: SeatWish
    said_ms: int


class Epoch(Value, frozen=True, tag=14):
    """A stop: the last record of an epoch, which names the next one's committee (05 section 11)."""

    number: int
    members: tuple[NodeId, ...]
    seed: Digest
    beacon_tips: tuple[bytes, ...]
    state_version: int = FIRST_STATE_VERSION
    """Of the state and its rules in that epoch: computed from what members say that they know."""


class VersionKnown(Value, frozen=True, tag=46):
    """A member's word that its program knows this state version; the last one counts."""

    version: int
    said_ms: int


class Transfer(Value, frozen=True, tag=15):
    """The author passes some of its balance on; `said_ms` orders what it says of its account."""

    to: NodeId
    amount_msat: int
    said_ms: int


class Bond(Value, frozen=True, tag=16):
    """The author puts some of its balance at risk."""

    amount_msat: int
    said_ms: int


class Unbond(Value, frozen=True, tag=17):
    """The author asks for some of its bond back; it stays at risk for a while."""

    amount_msat: int
    said_ms: int


class DisputeTrace(Value, frozen=True, tag=18):
    """A party of a dispute says where its execution stood along the disputed stretch."""

    trace: Trace


class DisputeSegment(Value, frozen=True, tag=19):
    """A referee's finding on the stretch that a dispute was narrowed down to."""

    verdict: SegmentVerdict


class PegIn(Value, frozen=True, tag=21):
    """A member's word that it sees a peg-in to a node's address deep in the best chain."""

    node: NodeId
    wallet: int
    output: int
    proof: AnchorProof


class PegOut(Value, frozen=True, tag=22):
    """The author withdraws some of its balance to a Bitcoin address, and bears the fee."""

    script: bytes
    amount_sat: int
    fee_sat: int
    said_ms: int


class PegSigned(Value, frozen=True, tag=23):
    """A member's signatures on one version of a payment, one for each coin it spends."""

    payment: int
    version: int
    signatures: tuple[bytes, ...]


class PegKey(Value, frozen=True, tag=24):
    """The author's key in the peg's wallets from now on, and its proof that the key is its own."""

    key: bytes
    chain_code: bytes
    possession: bytes
    said_ms: int


class PegAddress(Value, frozen=True, tag=25):
    """The author wants an address at which it pegs in."""


class PegFee(Value, frozen=True, tag=26):
    """A payment waits: a version of it with a higher fee is to be signed."""

    payment: int
    fee_sat: int


class PegPaid(Value, frozen=True, tag=27):
    """A member's word that it sees a version of a payment deep in the best chain."""

    payment: int
    version: int
    proof: AnchorProof


class Offer(Value, frozen=True, tag=28):
    """What work the author's owner lets it take from now on, and the slots that it hands back.

    `closed` is why it takes none (`Closed`), 0 when it takes some; `refuses` are the classes of
    tasks that it takes none of. `said_ms` orders what the author says of this. A task may need
    `memory_bytes_max` there, 0 where the owner does not say.
    """

    closed: int
    refuses: tuple[str, ...]
    hands_back: tuple[SlotName, ...]
    said_ms: int
    memory_bytes_max: int = 0


class PegMoved(Value, frozen=True, tag=29):
    """A member's word that another version of a final payment is deep in the best chain.

    `turn` is how often another version has become the final one: older words count no more.
    """

    payment: int
    version: int
    turn: int
    proof: AnchorProof


class PegReturn(Value, frozen=True, tag=43):
    """What came to the author's address and is never credited is to go back, less the fee.

    `said_ms` orders it among what the author says of its account.
    """

    txid: bytes
    output: int
    script: bytes
    fee_sat: int
    said_ms: int


class Publish(Value, frozen=True, tag=30):
    """The author publishes a version of a module; `manifest` names the signed manifest's bytes."""

    name: str
    version: str
    summary: str
    manifest: Digest
    module: Digest
    module_size_bytes: int


class Yank(Value, frozen=True, tag=31):
    """The author advises against a version that it published, and says why; nothing goes away."""

    name: str
    version: str
    reason: str


class Prover(Value, frozen=True, tag=44):
    """The author proves executions of so many padded cycles from now on; 0: none."""

    cycles_max: int
    said_ms: int


class ProofFound(Value, frozen=True, tag=45):
    """A member's word on a proof."""

    word: ProofWord


class StepPromise(Value, frozen=True, tag=47):
    """The author will prove the stretch that a game leaves, once it has at most so much gas.

    It gives the proof within `wait_ms` from when the stretch is known.
    """

    task: TaskId
    game: int
    gas_max: int
    wait_ms: int


class StepProof(Value, frozen=True, tag=48):
    """The author names the proof that it promised by its SHA-256, or says that it has none."""

    task: TaskId
    game: int
    proof: Digest


class StepFound(Value, frozen=True, tag=49):
    """A member's word on such a proof, and, where it holds, on where the stretch leads."""

    word: ProofWord
    verdict: SegmentVerdict | None


class ImageClaimed(Value, frozen=True, tag=50):
    """The author's word on a module's own image: the first one, or what a member finds."""

    claim: ImageClaim


class Marked(Value, frozen=True, tag=56):
    """A worker's word on where its execution stands, for who has the slot next (MARK)."""

    mark: Mark


class BitcoinHeaders(Value, frozen=True, tag=20):
    """Headers of the cluster's Bitcoin network, one after another, and the first one's height."""

    height: int
    headers: tuple[bytes, ...]


ClusterBody: TypeAlias = (
    Join
    | Registry
    | Admit
    | Cancel
    | Commits
    | Settle
    | DisputeStep
    | Checkpoint
    | Anchor
    | Fraud
    | SeatAsked
    | SeatVote
    | VersionKnown
    | Epoch
    | Transfer
    | Bond
    | Unbond
    | DisputeTrace
    | DisputeSegment
    | Offer
    | BitcoinHeaders
    | Publish
    | Yank
    | Prover
    | ProofFound
    | StepPromise
    | StepProof
    | StepFound
    | ImageClaimed
    | Marked
)
"""All but those of the peg and of federated learning."""

PegBody: TypeAlias = (
    PegIn | PegOut | PegSigned | PegKey | PegAddress | PegFee | PegPaid | PegMoved | PegReturn
)

Body: TypeAlias = ClusterBody | PegBody | LearningBody


class Record(Value, frozen=True):
    """A signed body (domain `record`, over the body's canonical bytes)."""

    author: NodeId
    body: Body
    signature: bytes
