"""Studies from Python, over a real socket to the desk of a real node that trains whole numbers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import trio

from ambientd.api.handlers import build_handlers
from ambientd.api.local_socket import serve_local_socket
from ambientd.client import AsyncMesh, Mesh, OperationError, StartStudy, StudyUnfinishedError
from ambientd.client.links import LocalLink
from sim.learners import PARAMETERS, bytes_of
from tests.api.test_desk import office

pytestmark = pytest.mark.net

PLAN = StartStudy(name="mean", model="numbers", rounds=3, participants_min=1, train_s=20, step_s=20)
LIFE = ["done", "done", "done"]


@asynccontextmanager
async def served_office(folder: Path) -> AsyncIterator[Path]:
    """Serve a node's whole table on a socket."""
    async with office(folder) as place, trio.open_nursery() as nursery:
        path = folder / "s"
        await nursery.start(serve_local_socket, path, build_handlers(place.desk), None)
        yield path
        nursery.cancel_scope.cancel()


async def in_asyncio(path: Path, test: Callable[[AsyncMesh], Awaitable[None]]) -> None:
    """Let a program under the other event loop do the same, in a thread of its own."""

    async def program() -> None:
        async with AsyncMesh(link=LocalLink(path)) as mesh:
            await test(mesh)

    await trio.to_thread.run_sync(lambda: anyio.run(program, backend="asyncio"))


async def from_beginning_to_model(mesh: AsyncMesh) -> None:
    study = await mesh.start_study(PLAN)
    assert (await study.show()).study.state == "inviting"
    with pytest.raises(StudyUnfinishedError, match="is inviting after 0 s"):
        await study.wait(0)
    assert (await mesh.study(study.study[:8]).join("8000")).takes_part
    ended = await study.wait(60)
    assert (ended.state, ended.done) == ("done", 3)
    assert [each.state for each in (await study.show()).rounds] == LIFE
    assert len(await study.export()) == len(bytes_of([0] * PARAMETERS))
    assert await study.receipt(2)
    other = await mesh.start_study(StartStudy(name="two", model="numbers", participants_min=2))
    await other.join("1")
    assert not (await other.leave()).takes_part
    assert [each.name for each in await mesh.studies()] == ["two", "mean"], "open ones first"
    assert (await other.stop()).state == "stopped"


async def test_a_study_goes_from_its_beginning_to_a_model_under_trio(tmp_path: Path) -> None:
    async with served_office(tmp_path) as path, AsyncMesh(link=LocalLink(path)) as mesh:
        await from_beginning_to_model(mesh)


async def test_a_study_goes_from_its_beginning_to_a_model_under_asyncio(tmp_path: Path) -> None:
    async with served_office(tmp_path) as path:
        await in_asyncio(path, from_beginning_to_model)


async def test_a_study_goes_from_its_beginning_to_a_model_without_an_event_loop(
    tmp_path: Path,
) -> None:
    def program(path: Path) -> None:
        with Mesh(link=LocalLink(path)) as mesh:
            study = mesh.start_study(PLAN)
            assert mesh.study(study.study).join("8000").takes_part
            assert study.wait(60).state == "done"
            assert [each.state for each in study.show().rounds] == LIFE
            assert len(study.export()) == len(bytes_of([0] * PARAMETERS))
            assert study.receipt(1)
            with pytest.raises(OperationError, match="is over"):
                study.join("1")
            other = mesh.start_study(StartStudy(name="two", model="numbers", participants_min=2))
            other.join("1")
            assert not other.leave().takes_part
            assert other.stop().state == "stopped"
            assert {each.name for each in mesh.studies()} == {"mean", "two"}

    async with served_office(tmp_path) as path:
        await trio.to_thread.run_sync(program, path)


async def test_what_no_study_may_be_like_is_said_in_a_sentence(tmp_path: Path) -> None:
    async with served_office(tmp_path) as path, AsyncMesh(link=LocalLink(path)) as mesh:
        with pytest.raises(OperationError, match="`rounds` is too small: 1 or more"):
            await mesh.start_study(StartStudy(name="x", model="numbers", rounds=0))
        with pytest.raises(OperationError, match="`name` is too long: 64 characters at most"):
            await mesh.start_study(StartStudy(name="x" * 65, model="numbers"))
        assert await mesh.studies() == []
