"""A trainer of whole numbers: what participants and aggregators work out, without any library.

Each participant's data is a number, and training goes half of the way to it; so the model comes to
the mean of the data, whoever works it out.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.model.learning import Circle, Plan, Score, StudyId
from ambientd.model.private_book import Book
from ambientd.ports.learning import AggregatedModel, Consent, Contribution, TrainedUpdate, never
from ambientd.rules.learning.circles import SummedModel, Words
from ambientd.rules.learning.private_rounds import concealed, summed

PARAMETERS = 10
SAMPLES = 10
PARTS = 2


def numbers_of(data: bytes) -> Sequence[int]:
    """Read a vector of int32."""
    return struct.unpack(f"<{len(data) // 4}i", data)


def bytes_of(numbers: Iterable[int]) -> bytes:
    """Write a vector of int32."""
    listed = list(numbers)
    return struct.pack(f"<{len(listed)}i", *listed)


class WholeNumbers:
    """Learns the mean of the participants' numbers."""

    def plan_fault(self, plan: Plan) -> str | None:
        """Find nothing wrong with any plan."""
        return None if plan.model else "a plan without a model"

    def data_fault(self, plan: Plan, data: str) -> str | None:  # noqa: ARG002 - the port's
        """Want a whole number."""
        return None if data.lstrip("-").isdecimal() else f"{data}: no whole number"

    def initial(self, plan: Plan) -> bytes:
        """Begin at what the seed says."""
        return bytes_of(sha256(plan.seed)[:PARAMETERS])

    def train(self, plan: Plan, model: bytes, data: str, number: int) -> TrainedUpdate:  # noqa: ARG002 - the port's
        """Go half of the way to this participant's number."""
        target = int(data)
        update = bytes_of((target - each) // PARTS for each in numbers_of(model))
        return TrainedUpdate(update, SAMPLES)

    def lesson_data(self, plan: Plan, data: str) -> bytes:
        """Give the number itself; to be trained on natively it has a class, too."""
        return bytes_of([int(data), 0] if plan.tolerance_micro else [int(data)])

    def train_on(
        self,
        plan: Plan,
        model: bytes,
        rows: bytes,
        number: int,
        is_over: Callable[[], bool] = never,  # noqa: ARG002 - the port's
    ) -> TrainedUpdate:
        """Go half of the way to the number in the rows, which are one sample."""
        made = self.train(plan, model, str(numbers_of(rows)[0]), number)
        return TrainedUpdate(made.update, 1)

    def is_near(self, plan: Plan, update: bytes, again: bytes) -> bool:  # noqa: ARG002 - the port's
        """Take nothing but the same."""
        return update == again

    def score(
        self,
        plan: Plan,  # noqa: ARG002 - the port's
        model: bytes,
        data: str,
        samples_max: int,  # noqa: ARG002 - the port's
    ) -> Score:
        """Count the parameters that are within 100 of this participant's number."""
        near = sum(abs(int(data) - each) <= 100 for each in numbers_of(model))
        return Score(correct=near, total=PARAMETERS, loss_micro=0)

    def aggregate(
        self,
        plan: Plan,  # noqa: ARG002 - the port's
        model: bytes,
        updates: Iterable[Contribution],
    ) -> AggregatedModel:
        """Add the mean of the updates, rounded down."""
        taken = [(numbers_of(each.update), each.samples) for each in updates]
        weight = sum(samples for _, samples in taken)
        after = [
            before + sum(update[place] * samples for update, samples in taken) // weight
            for place, before in enumerate(numbers_of(model))
        ]
        return AggregatedModel(bytes_of(after), ())

    def conceal(
        self, plan: Plan, update: bytes, secret: bytes, me: NodeId, circle: Circle, rid: bytes
    ) -> bytes:
        """Mask as every learner does."""
        return concealed(plan, update, secret, me, circle, rid)

    def sum_up(self, plan: Plan, model: bytes, circles: Iterable[Words], rid: bytes) -> SummedModel:
        """Add up as every learner does."""
        return summed(plan, model, circles, rid)

    def export(self, plan: Plan, model: bytes, form: str) -> bytes:  # noqa: ARG002 - the port's
        """Give the numbers as they are."""
        return model


class RememberedConsents:
    """An owner's consents, kept as long as the process."""

    def __init__(self, consents: Mapping[StudyId, Consent] | None = None) -> None:
        self._kept = dict(consents or {})

    def load(self) -> Mapping[StudyId, Consent]:
        """Give the consents."""
        return dict(self._kept)

    def keep(self, consents: Mapping[StudyId, Consent]) -> None:
        """Take them."""
        self._kept = dict(consents)


class RememberedBook:
    """A node's book of private mode, kept as long as the process."""

    def __init__(self, book: Book | None = None) -> None:
        self._book = book or Book()

    def load(self) -> Book:
        """Give the book."""
        return self._book

    def keep(self, book: Book) -> None:
        """Take it."""
        self._book = book
