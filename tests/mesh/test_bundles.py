"""Real daemons find out who lies about one item of a bundle, and strangers check it all offline."""

from pathlib import Path

import pytest

from ambientd.api.blame_replay import Replay, check_blame
from ambientd.api.module_pausing import PausingProcess
from ambientd.api.offline import check_receipt
from ambientd.api.operations import (
    BLAME_EXPORT,
    BLAME_LIST,
    RECEIPT_GET,
    TASK_OUTPUT,
    TASK_SUBMIT,
    TASK_WAIT,
)
from ambientd.api.requests import (
    ExportBlame,
    GetOutput,
    GetReceipt,
    ListBlames,
    SubmitTask,
    WaitForTask,
)
from tests.mesh.test_liars import mesh_of
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

BUNDLES, ITEMS = 6, 5


def items_of(bundle: int) -> tuple[bytes, ...]:
    return tuple(b"%d of %d" % (item, bundle) for item in range(ITEMS))


def test_a_liar_about_an_item_is_convicted_and_every_item_has_its_right_output_and_receipt(
    tmp_path: Path,
) -> None:
    with mesh_of(tmp_path / "mesh", 4, {3: 'lie = "corrupt_output"'}) as mesh:
        node = mesh.daemons[0]
        wanted = [
            SubmitTask(module=module("echo"), items=items_of(number), replicas=3, gas_max=10**9)
            for number in range(BUNDLES)
        ]
        tasks = [node.ask(TASK_SUBMIT, each).task_id for each in wanted]
        for number, task in enumerate(tasks):
            ended = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=120_000))
            assert (ended.outcome, ended.items) == ("completed", ITEMS), ended
            for item, data in enumerate(items_of(number)):
                output = node.ask(TASK_OUTPUT, GetOutput(task=task, item=item)).data
                assert output == data
        receipt = node.ask(RECEIPT_GET, GetReceipt(task=tasks[0], item=2)).data
        cluster = bytes.fromhex(node.status().fingerprint)  # type: ignore[union-attr]
        assert check_receipt(receipt, cluster, items_of(0)[2]).valid
        assert not check_receipt(receipt, cluster, items_of(0)[1]).valid
        liar = mesh.daemons[3].status().node  # type: ignore[union-attr]
        mesh.until(
            lambda: {each.node for each in node.ask(BLAME_LIST, ListBlames()).blames} == {liar},
            "the liar is blamed",
        )
        answer = node.ask(BLAME_EXPORT, ExportBlame(about=liar, with_module=True))
        report = check_blame(answer.data, cluster, Replay(PausingProcess("wasmtime")))
        assert report.valid, report.checks
        assert report.checks[-1].name == "replay"
