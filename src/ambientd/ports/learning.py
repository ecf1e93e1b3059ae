"""What trains, tries and aggregates models: all blocking, so it is called in a thread."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ambientd.model.base import NodeId
from ambientd.model.learning import Circle, Plan, Score, StudyId
from ambientd.model.private_book import Book
from ambientd.rules.learning.circles import SummedModel, Words


@dataclass(frozen=True, slots=True)
class TrainedUpdate:
    """What training on one node's data came to: new model less old one, and of how many samples."""

    update: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class Contribution:
    """One participant's update, and how many samples it is of."""

    update: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class AggregatedModel:
    """The next model, and the places of the updates that the rule dropped."""

    model: bytes
    left_out: tuple[int, ...]


def never() -> bool:
    """Tell that there is time."""
    return False


class Learner(Protocol):
    """Models and updates are vectors of int32, little-endian, with 16 binary places.

    Raises ConfigError where this node's owner has to do something, RemoteProtocolError where what
    others sent is wrong.
    """

    def plan_fault(self, plan: Plan) -> str | None:
        """Say why a plan cannot be carried out; None when it can."""
        ...

    def data_fault(self, plan: Plan, data: str) -> str | None:
        """Say why a plan cannot be carried out on an owner's data; None when it can."""
        ...

    def initial(self, plan: Plan) -> bytes:
        """Give the model that the plan's seed leads to."""
        ...

    def train(self, plan: Plan, model: bytes, data: str, number: int) -> TrainedUpdate:
        """Train a model on the data that the owner named, for the round of this number."""
        ...

    def lesson_data(self, plan: Plan, data: str) -> bytes:
        """Give the samples of the owner's data to train on, as whoever repeats it takes them."""
        ...

    def train_on(
        self,
        plan: Plan,
        model: bytes,
        rows: bytes,
        number: int,
        is_over: Callable[[], bool] = never,
    ) -> TrainedUpdate:
        """Train a model on such samples, natively, for the round of this number.

        Others name plan and rows: raises ConfigError soon after `is_over` tells so.
        """
        ...

    def is_near(self, plan: Plan, update: bytes, again: bytes) -> bool:
        """Tell whether an update is as near to what training again gave as the plan asks."""
        ...

    def score(self, plan: Plan, model: bytes, data: str, samples_max: int) -> Score:
        """Try a model on the held-out part of the data that the owner named, or some of it."""
        ...

    def aggregate(
        self, plan: Plan, model: bytes, updates: Iterable[Contribution]
    ) -> AggregatedModel:
        """Make the next model, with equal bytes on every device; the updates are read once."""
        ...

    def conceal(
        self, plan: Plan, update: bytes, secret: bytes, me: NodeId, circle: Circle, rid: bytes
    ) -> bytes:
        """Clip, noise and mask an update for a circle; the same bytes again for equal arguments."""
        ...

    def sum_up(self, plan: Plan, model: bytes, circles: Iterable[Words], rid: bytes) -> SummedModel:
        """Take the masks off circles' sums and make the next model, with equal bytes everywhere."""
        ...

    def export(self, plan: Plan, model: bytes, form: str) -> bytes:
        """Give a model as a file of the form `npz` or `onnx`."""
        ...


@dataclass(frozen=True, slots=True)
class Consent:
    """What an owner lets a study use: data of this device, by its place."""

    data: str


class Consents(Protocol):
    """Where an owner's consents lie: `adapters.consent_file.ConsentFile`."""

    def load(self) -> Mapping[StudyId, Consent]:
        """Read them; raise ConfigError when they cannot be read."""
        ...

    def keep(self, consents: Mapping[StudyId, Consent]) -> None:
        """Put them on disk durably; raise StoreError when that fails."""
        ...


class Books(Protocol):
    """Where a node's own book of private mode lies: `adapters.private_book_file`."""

    def load(self) -> Book:
        """Read it; raise ConfigError when it cannot be read."""
        ...

    def keep(self, book: Book) -> None:
        """Put it on disk durably, all of it or nothing; raise StoreError when that fails."""
        ...
