"""What is asked about federated learning, and what is answered (protocols/16-learning.md)."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ambientd.api.replies import Reply
from ambientd.api.requests import Request

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
    `audits` says, others execute the training again.
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
    samples_max: Annotated[int, Meta(ge=1, le=2**32)] = 1_000_000
    module: bytes = b""
    audits: Annotated[int, Meta(ge=0, le=4)] = 0
    invite_s: Seconds = 600.0
    train_s: Seconds = 600.0
    step_s: Seconds = 60.0


class ListStudies(Request, frozen=True):
    """Which studies go on, and which have ended lately?"""


class ShowStudy(Request, frozen=True):
    """One study with its rounds; its id, or an unambiguous start of it."""

    study: StudyName


class StopStudy(Request, frozen=True):
    """End a study that this node began."""

    study: StudyName


class JoinStudy(Request, frozen=True):
    """Let this node train on this data for a study; `data` stays on this device."""

    study: StudyName
    data: Annotated[str, Meta(min_length=1, max_length=4_096)]


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


class RoundInfo(Reply, frozen=True):
    """One round; `correct` of `total` held-out samples were right with its model."""

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


class StudyInfo(Reply, frozen=True):
    """A study; `takes_part` is of the node that answers."""

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


class Studies(Reply, frozen=True):
    """The studies that the ledger knows, those that go on first."""

    studies: list[StudyInfo]


class StudyDetail(Reply, frozen=True):
    """A study and its rounds, the first one first."""

    study: StudyInfo
    rounds: list[RoundInfo]


class ModelFile(Reply, frozen=True):
    """A model as a file."""

    data: bytes
    round: int
