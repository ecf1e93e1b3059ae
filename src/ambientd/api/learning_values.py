"""What is asked about federated learning, and what is answered (protocols/16-learning.md)."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ambientd.api.replies import Reply
from ambientd.api.requests import PAGE_MAX, Cursor, PageSize, Request

StudyName = Annotated[str, Meta(min_length=4, max_length=64)]
Text = Annotated[str, Meta(min_length=1, max_length=64)]
Seconds = Annotated[float, Meta(ge=0.1, le=86_400)]
Share = Annotated[float, Meta(ge=0, lt=0.5)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]
Factor = Annotated[float, Meta(ge=0, le=1_000)]


class StartStudy(Request, frozen=True):
    """Invite nodes to train a model together; every field but the first two may be left out.

    `poisoned` is the share of liars that the aggregation is to stand. An invitation ends after
    `invite_s`, or once `wanted` nodes take part (0: `participants_min`), which are as many as a
    round has. `module` is the trainer of `trainer = "wasm"`; of so many updates of each round as
    `audits` says, others execute the training again. In `private` mode updates are clipped to the
    norm `clip`, `noise` times that is added to each sum, and groups of `group` or more (0: 8) are
    summed in secret; `threshold` (0: two thirds and one more) of each must not drop out. With a
    `tolerance` and no module, members repeat the training of so many as `audits` says, and bar
    whose update is further off than that part of the largest number that training moved.
    """

    name: Text
    model: Text
    trainer: Text = "numpy"
    aggregation: Text = "fedavg"
    rounds: Positive = 10
    participants_min: Positive = 3
    wanted: Annotated[int, Meta(ge=0, le=256)] = 0
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    passes: Positive = 1
    batch: Positive = 32
    rate: Factor = 0.1
    prox: Factor = 0.0
    poisoned: Share = 0.0
    private: bool = False
    clip: Factor = 0.0
    noise: Factor = 0.0
    group: Annotated[int, Meta(ge=0, le=64)] = 0
    threshold: Annotated[int, Meta(ge=0, le=64)] = 0
    samples_max: Annotated[int, Meta(ge=1, le=2**32)] = 1_000_000
    module: bytes = b""
    audits: Annotated[int, Meta(ge=0, le=4)] = 0
    tolerance: Annotated[float, Meta(ge=0, le=0.01)] = 0.0
    invite_s: Seconds = 600.0
    train_s: Seconds = 600.0
    step_s: Seconds = 60.0


class ListStudies(Request, frozen=True):
    """Which studies go on, and which have ended lately?"""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class ShowStudy(Request, frozen=True):
    """One study with its rounds after one; its id, or an unambiguous start of it."""

    study: StudyName
    limit: PageSize = PAGE_MAX
    after: Annotated[int, Meta(ge=0, le=2**31)] = 0


class StopStudy(Request, frozen=True):
    """End a study that this node began."""

    study: StudyName


class JoinStudy(Request, frozen=True):
    """Let this node train on this data for a study; who audits its training is given them."""

    study: StudyName
    data: Annotated[str, Meta(min_length=1, max_length=4_096)]
    epsilon: Annotated[float, Meta(ge=0, le=10_000)] | None = None
    """What a private study may spend of this node's privacy, in all its rounds."""


class LeaveStudy(Request, frozen=True):
    """Let this node take part in a study no more."""

    study: StudyName


class ModelForm(StrEnum):
    """The files that a model is exported as."""

    NPZ = "npz"
    ONNX = "onnx"


class ExportModel(Request, frozen=True):
    """Give a study's present model as a file."""

    study: StudyName
    form: ModelForm = ModelForm.NPZ


class GetRound(Request, frozen=True):
    """Give the file that shows a stranger what a round came to."""

    study: StudyName
    round: Annotated[int, Meta(ge=1, le=2**31)]


class RoundFileReply(Reply, frozen=True):
    """A round's receipt, for `ambientctl fl verify`; `state` is pending, or anchored."""

    data: bytes
    round: int
    state: str


class GetBudget(Request, frozen=True):
    """What has this node shown in private studies, and what has that spent?"""


class BoundBudget(Request, frozen=True):
    """Bound what all private studies of this node may spend together; null for no bound."""

    epsilon: Annotated[float, Meta(ge=0, le=10_000)] | None


class BudgetInfo(Reply, frozen=True):
    """One private study on this node; no `epsilon` where no bound is claimed.

    `releases` are updates that were shown within sums, `wasted` those that came to nothing; both
    count. `releases_left` is how many more its limit, and the one over all, have room for; null
    without either.
    """

    study: str
    name: str
    epsilon: float | None
    limit: float | None
    releases: int
    wasted: int
    releases_left: int | None


class Budget(Reply, frozen=True):
    """What private studies have spent on this node, each and together, at this delta.

    `limit` is what the owner lets all of them spend together; null where there is no bound.
    """

    studies: list[BudgetInfo]
    epsilon: float | None
    delta: float
    limit: float | None = None


class Privacy(Reply, frozen=True):
    """What a private study asks of its participants, and what it has spent on this node.

    `epsilon_round` is the cost of one release, `epsilon_rounds` that of one in every round; null
    without noise. `spent` and `limit` are of the node that answers: its own word on its own book.
    """

    clip: float
    noise: float
    group: int
    threshold: int
    delta: float
    epsilon_round: float | None
    epsilon_rounds: float | None
    spent: float | None
    limit: float | None
    releases: int
    wasted: int


class RoundInfo(Reply, frozen=True):
    """One round; `correct` of `total` held-out samples were right with its model.

    `epsilon` is what a participant has spent that showed an update in each round up to this one.
    `faulty` are those whose shares were false, whose update was no training's, or who showed no
    rows though they were drawn: these are the `unshown`, whose update did not count.
    """

    round: int
    state: str
    participants: int
    updates: int
    survivors: int
    left_out: list[str]
    correct: int
    total: int
    loss: float | None
    model: str
    receipt: str
    began_ms: int
    ended_ms: int
    reason: str
    epsilon: float | None = None
    faulty: tuple[str, ...] = ()
    unshown: tuple[str, ...] = ()


class StudyInfo(Reply, frozen=True):
    """A study; `takes_part` is of the node that answers, `earlier` are those who do no more.

    `round_state` is what its present or last round waits for, empty before the first; `fell_out`
    how many of the last round that ended have no part in its model. With a `tolerance` no
    participant has more than `samples_repeated` samples.
    """

    study: str
    name: str
    author: str
    state: str
    reason: str
    model: str
    trainer: str
    aggregation: str
    private: bool
    rounds: int
    done: int
    round: int
    participants: list[str]
    participants_min: int
    takes_part: bool
    digest: str
    privacy: Privacy | None = None
    earlier: tuple[str, ...] = ()
    audits: int = 0
    escrow_msat: int = 0
    round_state: str = ""
    fell_out: int = 0
    tolerance: float = 0.0
    samples_repeated: int = 0


class Studies(Reply, frozen=True):
    """The studies that the ledger knows, open ones first; `next` is where the list goes on."""

    studies: list[StudyInfo]
    next: str | None = None


class StudyDetail(Reply, frozen=True):
    """A study and the rounds that the ledger keeps; `next` is the round after which it goes on."""

    study: StudyInfo
    rounds: list[RoundInfo]
    next: int | None = None


class ModelFile(Reply, frozen=True):
    """A model as a file."""

    data: bytes
    round: int
