"""Studies of federated learning as a Python program sees them."""

from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec

from ambientd.api import learning_operations as operations
from ambientd.api.learning_values import (
    ExportModel,
    GetRound,
    JoinStudy,
    LeaveStudy,
    ListStudies,
    ModelForm,
    ShowStudy,
    StartStudy,
    StopStudy,
    StudyDetail,
    StudyInfo,
)
from ambientd.api.operation import Operation
from ambientd.client.failures import StudyUnfinishedError

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from ambientd.client.async_mesh import AsyncMesh

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

OPEN = frozenset({"inviting", "running"})
_LOOK_S = 0.5


class AsyncStudy:
    """One study of the cluster, named by its id or the first digits of it."""

    def __init__(self, mesh: "AsyncMesh", study: str) -> None:
        self._mesh = mesh
        self.study = study

    async def show(self) -> StudyDetail:
        """Give the study as it stands, with all the rounds that the ledger keeps."""
        found = await self._ask(operations.FL_SHOW, ShowStudy(study=self.study))
        rounds = list(found.rounds)
        while found.next is not None:
            request = ShowStudy(study=self.study, after=found.next)
            found = await self._ask(operations.FL_SHOW, request)
            rounds += found.rounds
        return msgspec.structs.replace(found, rounds=rounds)

    async def wait(self, timeout_s: float = 86_400.0) -> StudyInfo:
        """Give the study once it has ended, however that was: `state` and `reason` say it.

        Raises:
            StudyUnfinishedError: when it goes on after `timeout_s`.
        """
        deadline = anyio.current_time() + timeout_s
        request = ShowStudy(study=self.study, limit=1)
        while (found := (await self._ask(operations.FL_SHOW, request)).study).state in OPEN:
            left_s = deadline - anyio.current_time()
            if left_s <= 0:
                raise StudyUnfinishedError(found, timeout_s)
            await anyio.sleep(min(_LOOK_S, left_s))
        return found

    async def join(self, data: str, epsilon: float | None = None) -> StudyInfo:
        """Let the node train on its own data; `epsilon` is what a private study may spend of it.

        What others then see `StudyInfo.privacy` says, and docs/cli.md: nobody is asked here.
        """
        request = JoinStudy(study=self.study, data=data, epsilon=epsilon)
        return await self._mesh.ask(operations.FL_JOIN, request)

    async def leave(self) -> StudyInfo:
        """Let the node take part no more."""
        return await self._mesh.ask(operations.FL_LEAVE, LeaveStudy(study=self.study))

    async def stop(self) -> StudyInfo:
        """End the study, if the node began it."""
        return await self._mesh.ask(operations.FL_STOP, StopStudy(study=self.study))

    async def export(self, form: str = "npz") -> bytes:
        """Give the study's present model as a file, `npz` or `onnx`."""
        request = ExportModel(study=self.study, form=ModelForm(form))
        return (await self._ask(operations.FL_EXPORT, request)).data

    async def receipt(self, number: int) -> bytes:
        """Give the file that shows a stranger what a round came to."""
        request = GetRound(study=self.study, round=number)
        return (await self._ask(operations.FL_RECEIPT, request)).data

    async def _ask(self, operation: Operation[Q, R], request: Q) -> R:
        return await self._mesh.ask(operation, request)


async def every_study(mesh: "AsyncMesh") -> list[StudyInfo]:
    """List the studies that the ledger knows, page by page."""
    every = mesh.pages(operations.FL_LIST, ListStudies())
    return [study async for found in every for study in found.studies]


async def begun_study(mesh: "AsyncMesh", plan: StartStudy) -> AsyncStudy:
    """Begin a study; asked again under its key where the answer was lost."""
    return AsyncStudy(mesh, (await mesh.ask(operations.FL_START, plan)).study)


class Study:
    """One study of the cluster, for programs without an event loop."""

    def __init__(self, portal: "BlockingPortal", study: AsyncStudy) -> None:
        self._portal = portal
        self._study = study

    @property
    def study(self) -> str:
        """Give the study's id as it was named."""
        return self._study.study

    def show(self) -> StudyDetail:
        """Give the study as it stands, with all the rounds that the ledger keeps."""
        return self._portal.call(self._study.show)

    def wait(self, timeout_s: float = 86_400.0) -> StudyInfo:
        """Give the study once it has ended; raise StudyUnfinishedError when it goes on."""
        return self._portal.call(self._study.wait, timeout_s)

    def join(self, data: str, epsilon: float | None = None) -> StudyInfo:
        """Let the node train on its own data; `epsilon` is what a private study may spend of it."""
        return self._portal.call(self._study.join, data, epsilon)

    def leave(self) -> StudyInfo:
        """Let the node take part no more."""
        return self._portal.call(self._study.leave)

    def stop(self) -> StudyInfo:
        """End the study, if the node began it."""
        return self._portal.call(self._study.stop)

    def export(self, form: str = "npz") -> bytes:
        """Give the study's present model as a file, `npz` or `onnx`."""
        return self._portal.call(self._study.export, form)

    def receipt(self, number: int) -> bytes:
        """Give the file that shows a stranger what a round came to."""
        return self._portal.call(self._study.receipt, number)
