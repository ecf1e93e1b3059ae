"""What Prometheus reads, and that nobody from outside makes it grow."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from ambientd.api.learning_values import Privacy, StudyInfo
from ambientd.api.rest.metrics import _GAUGES, _OF_A_STUDY, STUDIES_MAX, Metrics
from ambientd.api.routes import Scope
from ambientd.ledger.learning import STUDIES_OPEN_MAX
from tests.api.rest.support import Answer, site
from tests.fakes.desk_node import DeskNode

pytestmark = pytest.mark.net

NAMED = (("study", "ab" * 6),)
STUDY = StudyInfo(
    study="ab" * 32,
    name="digits",
    author="cd" * 32,
    state="running",
    reason="",
    model="mlp:64,16,10",
    trainer="numpy",
    aggregation="fedavg",
    private=True,
    rounds=9,
    done=3,
    round=4,
    participants=["01" * 32, "02" * 32, "03" * 32],
    participants_min=2,
    takes_part=True,
    digest="ef" * 32,
    privacy=Privacy(
        clip=1.0,
        noise=1.0,
        group=3,
        threshold=3,
        delta=1e-5,
        epsilon_round=4.753,
        epsilon_rounds=30.127,
        spent=7.25,
        limit=8.0,
        releases=2,
        wasted=0,
    ),
    round_state="unmasking",
    fell_out=1,
)


async def told(node: DeskNode, metrics: Metrics | None = None) -> dict[str, dict[str, float]]:
    """Give what is told of studies one by one: by metric, then by study."""
    body = (await (metrics or Metrics(node.handlers())).answer()).body
    assert isinstance(body, bytes)
    return {
        family.name: {each.labels["study"]: each.value for each in family.samples}
        for family in text_string_to_metric_families(body.decode())
        if family.name.removeprefix("ambient_") in _OF_A_STUDY
    }


def samples(answer: Answer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    assert answer.status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


async def test_a_node_and_its_cluster_are_in_figures(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        found = samples(await it.ask("GET", "/metrics", it.token(Scope.READ), base=""))
    assert {f"ambient_{name}" for name in _GAUGES} <= {name for name, _ in found}
    assert found["ambient_tasks", (("state", "final"),)] >= 0
    assert found["process_resident_memory_bytes", ()] > 0


async def test_a_study_is_in_figures_by_state_round_and_what_it_spends(tmp_path: Path) -> None:
    node = DeskNode()
    node.studies = [STUDY]
    async with site(tmp_path, node.handlers()) as it:
        found = samples(await it.ask("GET", "/metrics", it.token(Scope.READ), base=""))
    assert found["ambient_studies", (("state", "running"),)] == 1
    assert found["ambient_studies", (("state", "failed"),)] == 2
    assert found["ambient_study_rounds", (("state", "unmasking"),)] == 1
    assert found["ambient_study_rounds", (("state", "training"),)] == 0
    figures = [found[f"ambient_{name}", NAMED] for name in _OF_A_STUDY]
    assert figures == [3, 3, 1, 7.25, 8.0]


async def test_of_open_studies_and_those_of_others_no_epsilon_is_told() -> None:
    node = DeskNode()
    elsewhere = replace(STUDY, takes_part=False, privacy=replace(STUDY.privacy, releases=0))
    node.studies = [replace(STUDY, private=False, privacy=None), replace(elsewhere, study="9" * 64)]
    found = await told(node)
    assert found["ambient_study_epsilon"] == {}
    assert found["ambient_study_participants"] == {"ab" * 6: 3, "9" * 12: 3}


async def test_as_many_studies_are_told_of_as_go_on_and_none_that_has_ended() -> None:
    node = DeskNode()
    metrics = Metrics(node.handlers())
    node.studies = [replace(STUDY, study=f"{number:064x}") for number in range(99)]
    node.studies[0] = replace(STUDY, study="f" * 64)
    assert "f" * 12 in (await told(node, metrics))["ambient_study_rounds_done"]
    node.studies = [replace(STUDY, study=f"{number:012x}" + "0" * 52) for number in range(99)]
    found = await told(node, metrics)
    assert {len(labels) for labels in found.values()} == {STUDIES_MAX}
    assert not any("f" * 12 in labels for labels in found.values()), "it is told of no more"
    node.studies = [replace(STUDY, state="done")]
    assert set(map(len, (await told(node, metrics)).values())) == {0}
    assert STUDIES_MAX == STUDIES_OPEN_MAX


async def test_metrics_need_a_token_as_everything_does(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        assert (await it.ask("GET", "/metrics", base="")).status == 401


async def test_operations_are_counted_by_name_and_outcome(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.READ)
        for _ in range(3):
            await it.get("/status", token)
        await it.get("/tasks/abcd", token)
        await it.get("/no/such/path", token)
        found = samples(await it.ask("GET", "/metrics", token, base=""))
    done = (("operation", "status"), ("outcome", "done"))
    refused = (("operation", "task.show"), ("outcome", "refused"))
    assert found["ambient_http_seconds_count", tuple(sorted(done))] == 3
    assert found["ambient_http_seconds_count", tuple(sorted(refused))] == 1
    assert not any("path" in value for _, labels in found for _, value in labels)


async def test_events_are_counted_by_kind_and_unknown_kinds_together() -> None:
    metrics = Metrics(DeskNode().handlers())
    for kind in ("task_ended", "task_ended", "invented by a peer", "another one"):
        metrics.happened(kind)
    text = (await metrics.answer()).body
    assert isinstance(text, bytes)
    assert b'ambient_events_total{kind="task_ended"} 2.0' in text
    assert b'ambient_events_total{kind="other"} 2.0' in text
    assert b"invented" not in text
