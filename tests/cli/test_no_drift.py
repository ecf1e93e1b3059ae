"""The command line against the table of operations: every field is reached, every option is one.

Each row is typed at a node that notes what it is asked, with the word that it is about and
without. So a row that says what is not so fails, as does a field or an option that no row has
and no list below names.
"""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec.structs import fields

from ambientd.api.answering import Answer, Handler
from ambientd.api.learning_values import ModelForm, ShowStudy, StudyDetail
from ambientd.api.operations import OPERATIONS, Operation, OperationError
from ambientd.api.registry_values import BringModule, ManifestInfo, ModuleInfo, VersionInfo
from ambientd.cli.grammar import grammar_of
from ambientd.cli.parser import build_parser
from ambientd.cli.registry_commands import Limits, ModuleFile
from tests.cli.conftest import Ctl
from tests.cli.test_learning_commands import OPEN
from tests.fakes.desk_node import ECHO, LIAR, NODE, DeskNode
from tests.modules import compiled

ALL = grammar_of(build_parser())
LEAVES = {" ".join(command.path[1:]): command for command in ALL.leaves()}
COMMON = {name for option in ALL.options for name in option.names}
HASH, COIN, TO, AGE = "cd" * 32, f"{'ee' * 32}:1", "bcrt1qexample", "age1" + "q" * 58
OF_MODULE = "MODULE.wasm|SHA256"
NAME = "PUBLISHER/NAME"
EXACT = f"{NAME}@VERSION"
STUDY = {
    "name": "digits",
    "model": "mlp:4,3,2",
    "trainer": "wasm",
    "aggregation": "median",
    "rounds": 3,
    "participants_min": 4,
    "wanted": 5,
    "seed": 6,
    "passes": 7,
    "batch": 8,
    "rate": 0.5,
    "prox": 0.25,
    "poisoned": 0.125,
    "private": True,
    "clip": 1.5,
    "noise": 2.5,
    "group": 9,
    "threshold": 10,
    "samples_max": 11,
    "module": ECHO,
    "audits": 2,
    "tolerance": 0.005,
    "invite_s": 12.0,
    "train_s": 13.0,
    "step_s": 14.0,
}


class Row(NamedTuple):
    """A line with a gap, what is typed there, and the fields that it fills; `...` is any value.

    What is typed is an option, or else stands for the word of the command that is named.
    """

    line: str
    typed: str
    fields: Mapping[str, Any]
    word: str = ""

    @property
    def command(self) -> str:
        """Give the command of the line."""
        return max((name for name in LEAVES if f"{self.line} ".startswith(f"{name} ")), key=len)

    @property
    def name(self) -> str:
        """Give the option or word, as the parsers have it."""
        return self.word or self.typed.split()[0]


def of(*operations: str, **fields: Any) -> dict[str, Any]:
    """Name fields of one operation, or of several alike."""
    return {f"{each}.{name}": value for each in operations for name, value in fields.items()}


def run_row(typed: str, **fields: Any) -> Row:
    """Give a row of what both the quote and the task are asked with, the nonce alone excepted."""
    both = ("task.submit",) if "nonce" in fields else ("task.submit", "task.quote")
    needs = "" if "nonce" in fields else "--nonce 00"
    return Row(f"run m.wasm --no-wait --yes {needs} {{}}", typed, of(*both, **fields))


def named(operation: str) -> dict[str, Any]:
    """Give what one word names a module by."""
    return of(operation, publisher="acme", name="sums", version="1.0.0")


PUBLISHED = of(
    "module.publish",
    name="sums",
    version="1.2.3",
    summary="adds",
    licence="MIT",
    gas_max=11,
    memory_bytes_max=65_536,
    wall_ms_max=12,
    output_bytes_max=13,
    price_msat_per_mgas=14,
    source_url="https://x.example/y",
    source_sha256=HASH,
    interface="ambient",
    module=compiled.module("echo"),
)


ROWS = (
    Row("nodes {}", "node1", of("node.show", node="node1"), "NODE"),
    Row("telemetry {}", "node1", of("telemetry.show", node="node1"), "NODE"),
    Row("telemetry {}", "--span day", of("telemetry.show", span="day")),
    Row("events {}", "--task abcd", of("events", tasks=("abcd",))),
    Row("run {} --yes", "m.wasm", of("task.submit", module=ECHO), "MODULE.wasm"),
    run_row("--assurance quorum", assurance="quorum"),
    run_row("--replicas 3", replicas=3),
    run_row("--colluders 30% --assurance quorum", colluders_permille=300),
    run_row("--gas-max 77", gas_max=77),
    run_row("--memory-max 3MiB", memory_bytes_max=3 << 20),
    run_row("--wall-max 1.5", wall_ms_max=1_500),
    run_row("--output-max 5KiB", output_bytes_max=5 << 10),
    run_row("--price 9", price_msat_per_mgas=9),
    run_row("--cycles-max 70000", cycles_max=70_000),
    run_row("--cycle-price 8", price_msat_per_mcycle=8),
    run_row("--class media", task_class="media"),
    run_row("--label disk=ssd", constraints=("disk=ssd",)),
    run_row("--distinct owner", distinct=("owner",)),
    run_row("--priority 7", priority=7),
    run_row("--deadline 3600", deadline_ms=...),
    run_row("--attempts 2", attempts_max=2),
    run_row("--marks 2", marks_max=2),
    run_row("--strategy weighted", strategy="weighted"),
    run_row("--nonce 0f", nonce=b"\x0f"),
    Row("run m.wasm --yes {}", "--input input", of("task.submit", input=b"hello")),
    Row("run m.wasm --yes {}", "--input input", of("task.quote", input_size_bytes=5)),
    Row("run m.wasm --bundle 2 --yes {}", "--inputs lines", of("task.submit", items=(b"a", b"b"))),
    Row("run m.wasm --inputs lines --yes --bundle {}", "2", of("task.quote", items=2), "--bundle"),
    Row("run {} --yes", "m.wasm", of("task.quote", module_size_bytes=len(ECHO)), "MODULE.wasm"),
    Row("run {} --yes", "acme/sums@1.0.0", named("module.bring"), "MODULE.wasm"),
    Row("run {} --yes", "acme/sums@1.0.0", of("task.submit", module_sha256=HASH), "MODULE.wasm"),
    Row("run m.wasm --yes --timeout 0.1 {}", "--wait-anchor", of("task.wait", until="anchored")),
    Row("task list {}", "--limit 3", of("task.list", limit=3)),
    Row("task list {}", "--state open", of("task.list", state="open")),
    Row("task show {}", "abcd", of("task.show", task="abcd"), "ID"),
    Row("task why {}", "abcd", of("task.why", task="abcd"), "ID"),
    Row("task watch {}", "abcd", of("task.show", task="abcd"), "ID"),
    Row("task logs {}", "abcd", of("task.material", task="abcd"), "ID"),
    Row("task logs abcd {}", "--item 2", of("task.material", item=2)),
    Row("task cancel {}", "abcd", of("task.cancel", task="abcd"), "ID"),
    Row("task output {}", "abcd", of("task.output", task="abcd"), "ID"),
    Row("task output abcd {}", "--item 2", of("task.output", item=2)),
    Row("proof get {}", "abcd", of("task.output", task="abcd", proof=True), "ID"),
    Row("receipt get {}", "abcd", of("receipt.get", task="abcd"), "ID"),
    Row("receipt get abcd {}", "--item 2", of("receipt.get", item=2)),
    Row("blame export {}", "abcd", of("blame.export", about="abcd"), "NODE|TASK"),
    Row("blame export abcd {}", "--with-module", of("blame.export", with_module=True)),
    Row("cluster invite {}", "--expires 60", of("cluster.invite", expires_in_ms=60_000)),
    Row("member ask {}", "--bond 5sat", of("member.ask", bond_msat=5_000)),
    Row("member admit {}", "node1", of("member.vote", node="node1", wish="in"), "NODE"),
    Row("member admit node1 {}", "--instead", of("member.vote", wish="instead")),
    Row("member remove --yes {}", "b2b2", of("member.vote", node=LIAR, wish="out"), "NODE"),
    Row("account show {}", "node1", of("account.show", node="node1"), "NODE"),
    Row("account history {}", "node1", of("account.history", node="node1"), "NODE"),
    Row("account history {}", "--limit 3", of("account.history", limit=3)),
    Row("account transfer {} 5 --yes", "b2b2", of("account.transfer", to=LIAR), "NODE"),
    Row("account transfer n {} --yes", "5", of("account.transfer", amount_msat=5), "AMOUNT"),
    Row("account bond {} --yes", "5", of("account.bond", amount_msat=5), "AMOUNT"),
    Row("account unbond {} --yes", "5", of("account.unbond", amount_msat=5), "AMOUNT"),
    Row("backup create {}", "/x/file", of("backup.create", path="/x/file"), "FILE"),
    Row("backup create /x/file {}", f"--to {AGE}", of("backup.create", recipients=(AGE,))),
    Row("anchor status {}", "--limit 3", of("anchor.status", limit=3)),
    Row("anchor list {}", "--limit 3", of("anchor.status", limit=3)),
    Row("anchor plan {}", "--rate 2", of("anchor.plan", rates_msat_vb=(2_000,))),
    Row("anchor plan {}", "--every 60", of("anchor.plan", period_ms=60_000)),
    Row("anchor plan {}", "--receipts-a-day 7", of("anchor.plan", receipts_a_day=7)),
    Row("witness offer new {}", "--since 7", of("log.update", since=7)),
    Row("peg withdraw {} 5sat --yes", TO, of("peg.withdraw", address=TO), "ADDRESS"),
    Row("peg withdraw {} 5sat --yes", TO, of("peg.quote", address=TO), "ADDRESS"),
    Row("peg withdraw a {} --yes", "5sat", of("peg.withdraw", amount_sat=5), "AMOUNT"),
    Row("peg withdraw a {} --yes", "5sat", of("peg.quote", amount_sat=5), "AMOUNT"),
    Row("peg withdraw a 5sat --yes {}", "--rate 2", of("peg.quote", rate_msat_vb=2_000)),
    Row("peg withdraw a 5000sat --yes {}", "--rate 3", of("peg.withdraw", fee_sat=600)),
    Row("peg raise {} 9sat --yes", "7", of("peg.raise", payment=7), "PAYMENT"),
    Row("peg raise 7 {} --yes", "9sat", of("peg.raise", fee_sat=9), "AMOUNT"),
    Row("peg return {} a --yes", COIN, of("peg.return", outpoint=COIN), "OUTPOINT"),
    Row("peg return {} a --yes", COIN, of("peg.return.quote", outpoint=COIN), "OUTPOINT"),
    Row(f"peg return {COIN} {{}} --yes", TO, of("peg.return", address=TO), "ADDRESS"),
    Row(f"peg return {COIN} {{}} --yes", TO, of("peg.return.quote", address=TO), "ADDRESS"),
    Row(f"peg return {COIN} a --yes {{}}", "--rate 2", of("peg.return.quote", rate_msat_vb=2_000)),
    Row(f"peg return {COIN} a --yes {{}}", "--rate 3", of("peg.return", fee_sat=600)),
    Row("owner set {}", "--cpu 50%", of("owner.set", cpu_percent=50)),
    Row("owner set {}", "--memory 2MiB", of("owner.set", memory_bytes_max=2 << 20)),
    Row("owner set {}", "--hours 18:00-08:00", of("owner.set", hours=("18:00-08:00",))),
    Row("owner set {}", "--time-zone UTC", of("owner.set", time_zone="UTC")),
    Row("owner set {}", "--battery no", of("owner.set", on_battery=False)),
    Row("owner set {}", "--metered no", of("owner.set", on_metered=False)),
    Row("owner set {}", "--metered-link usb0", of("owner.set", metered_links=("usb0",))),
    Row("owner set {}", "--refuse media", of("owner.set", refuses=("media",))),
    Row("pause {}", "--now", of("pause", stops=True)),
    Row("pause {}", "--for 90s", of("pause", for_ms=90_000)),
    Row("module publish {} --manifest said.toml --yes", "echo.wasm", PUBLISHED, "MODULE.wasm"),
    Row("module publish echo.wasm {} --yes", "--manifest said.toml", PUBLISHED),
    Row("module search {}", "sums", of("module.list", text="sums"), "TEXT"),
    Row("module search {}", "--limit 3", of("module.list", limit=3)),
    Row("module show {}", "acme/sums@1.0.0", named("module.show"), f"{NAME}[@VERSION]"),
    Row("module pin {}", "acme/sums@1.0.0", named("module.pin"), EXACT),
    Row("module unpin {}", "acme/sums@1.0.0", named("module.unpin"), EXACT),
    Row("module yank {} --reason slow --yes", "acme/sums@1.0.0", named("module.yank"), EXACT),
    Row("module yank acme/sums@1.0.0 --yes {}", "--reason slow", of("module.yank", reason="slow")),
    Row(f"image name {{}} {HASH} --yes", HASH, of("image.name", module_sha256=HASH), OF_MODULE),
    Row(f"image name {HASH} {{}} --yes", HASH, of("image.name", image=HASH), "IMAGE.elf|ID"),
    Row("image show {}", HASH, of("image.show", module_sha256=HASH), OF_MODULE),
    Row(f"image show {HASH} {{}}", "--output m.image", of("image.show", with_file=True)),
    Row(f"image check {{}} {HASH}", HASH, of("image.show", module_sha256=HASH), OF_MODULE),
    Row("fl start {}", "study.toml", of("fl.start", **STUDY), "STUDY.toml"),
    Row("fl list {}", "--limit 3", of("fl.list", limit=3)),
    Row("fl show {}", "abcd", of("fl.show", study="abcd"), "STUDY"),
    Row("fl watch {} --timeout 0.1", "abcd", of("fl.show", study="abcd"), "STUDY"),
    Row("fl stop {}", "abcd", of("fl.stop", study="abcd"), "STUDY"),
    Row("fl leave {}", "abcd", of("fl.leave", study="abcd"), "STUDY"),
    Row("fl join {} --data d --yes", "abcd", of("fl.join", study="abcd"), "STUDY"),
    Row("fl join abcd --yes {}", "--data /pictures", of("fl.join", data="/pictures")),
    Row("fl join abcd --data /d --yes {}", "--epsilon 2.5", of("fl.join", epsilon=2.5)),
    Row("fl budget {}", "--limit 8", of("fl.bound", epsilon=8.0)),
    Row("fl export {} --out m.npz", "abcd", of("fl.export", study="abcd"), "STUDY"),
    Row("fl export abcd {}", "--out m.onnx", of("fl.export", form=ModelForm.ONNX)),
    Row("fl receipt {} 3", "abcd", of("fl.receipt", study="abcd"), "STUDY"),
    Row("fl receipt abcd {}", "3", of("fl.receipt", round=3), "ROUND"),
    Row("export tasks new.csv --force {}", "--state open", of("task.list", state="open")),
    Row("export telemetry new.csv --force {}", "--span day", of("telemetry.show", span="day")),
)

ALONE = frozenset(
    {
        *("version", "completion", "demo", "join", "cluster create", "config show", "config check"),
        *("trail tail", "trail verify", "trail export"),
        *("audit tail", "audit verify", "audit export"),
        *(
            "receipt verify",
            "receipt replay",
            "receipt export",
            "blame verify",
            "blame slim",
            "blame step",
            "proof verify",
        ),
        *("headers check", "headers sync", "headers export", "witness run", "witness take"),
        *("witness check", "fl verify", "webhook secret", "export observations"),
        *("module new", "module check", "module prepare", "module run", "module trace"),
        *("module bench", "backup verify", "backup restore", "backup key", "restore"),
        *("key show", "key passphrase", "key replace-peg"),
        *("token create", "token list", "token revoke"),
        *("service install", "service uninstall", "service status"),
    }
)
"""Commands that work on files or with other programs, and ask the node nothing of the table."""

OWN = {
    "where the answer goes": {
        *(("run", "--output"), ("run", "--receipt"), ("task output", "--output")),
        *(("receipt get", "--output"), ("blame export", "--output"), ("proof get", "--output")),
        *(("fl receipt", "--out"), ("witness offer", "FILE")),
        *(("export tasks", "FILE"), ("export nodes", "FILE"), ("export telemetry", "FILE")),
    },
    "how it is written": {
        *((f"export {each}", "--format") for each in ("tasks", "nodes", "telemetry")),
        *((f"export {each}", "--force") for each in ("tasks", "nodes", "telemetry")),
        *(("fl export", "--force"), ("fl receipt", "--force"), ("nodes", "--links")),
        ("status", "--ready"),
    },
    "whether a person is asked first": {
        *((each, "--yes") for each in ("run", "module publish", "module yank", "member remove")),
        *((each, "--yes") for each in ("member leave", "account transfer", "account bond")),
        *((each, "--yes") for each in ("account unbond", "peg withdraw", "peg return")),
        *((each, "--yes") for each in ("peg raise", "fl join", "image name")),
    },
    "for how long it looks": {
        *(
            ("run", "--no-wait"),
            ("run", "--timeout"),
            ("task watch", "--wait-anchor"),
            ("task watch", "--timeout"),
        ),
        *(("fl watch", "--timeout"), ("top", "--every"), ("top", "--times")),
    },
    "executed here, by this program": {
        *(("task logs", "--engine"), ("task logs", "--sandbox"), ("module publish", "--sandbox")),
        *(("image name", "--verifier"), ("image check", "--verifier")),
        ("image check", "IMAGE.elf|ID"),
    },
    "what is done anyway": {("pause", "--drain")},
}

NOT_SAID = {
    "how a long list is read: page after page, as far as it is shown": {
        *(f"{each}.after" for each in ("nodes", "task.list", "account.list", "account.history")),
        *(f"{each}.after" for each in ("module.list", "blame.list", "fl.list", "fl.show")),
        *(f"{each}.after" for each in ("links", "anchor.status", "member.list", "peg.list")),
        *(f"{each}.limit" for each in ("links", "member.list", "peg.list", "peg.audit")),
        "peg.audit.after",
        *(f"{each}.limit" for each in ("nodes", "account.list", "blame.list", "fl.show")),
    },
    "how a wait goes on": {"task.wait.task", "task.wait.seen", "task.wait.timeout_ms"},
    "of bytes that other programs put there first": {
        *("task.submit.input_sha256", "module.publish.module_sha256"),
    },
}

NOT_ASKED = {
    "this program does it itself, offline": {
        *("receipt.verify", "headers.verify", "split.verify", "blame.verify", "proof.verify"),
        "task.logs",
    },
    "for programs, not for people": {"ready", "cluster.show", "blob.put", "blob.get"},
}


class Asked(DeskNode):
    """Notes what it is asked; refuses what a desk does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, msgspec.Struct]] = []

    def handlers(self) -> Mapping[str, Handler]:
        known = super().handlers() | {"module.bring": self.bring, "fl.show": self.study}
        return {name: self._noting(row, known.get(name)) for name, row in OPERATIONS.items()}

    def _noting(self, row: Operation[Any, Any], handler: Handler | None) -> Handler:
        def noting(request: msgspec.Struct) -> Answer:
            self.asked.append((row.name, request))
            return self.refuse() if handler is None else handler(request)

        return noting

    async def refuse(self) -> msgspec.Struct:
        raise OperationError("rejected", "this is a desk only")

    async def events(self, request: msgspec.Struct) -> AsyncIterator[msgspec.Struct]:
        raise OperationError("rejected", "nothing happens here")
        yield request

    async def bring(self, request: BringModule) -> ModuleInfo:
        said = ManifestInfo(
            interface="ambient",
            gas_max=1,
            memory_bytes_max=65_536,
            wall_ms_max=1,
            output_bytes_max=1,
            price_msat_per_mgas=0,
            licence="MIT",
            source_url="",
            source_sha256=None,
        )
        shown = VersionInfo(
            version="1.0.0",
            module_sha256=HASH,
            module_size_bytes=7,
            manifest_sha256=HASH,
            published_ms=0,
        )
        return ModuleInfo(
            publisher=NODE,
            publisher_name="acme",
            convicted=False,
            name="sums",
            summary="",
            shown=shown,
            manifest=said,
            problem="",
            here=True,
            pinned=False,
            versions=(shown,),
        )

    async def study(self, request: ShowStudy) -> StudyDetail:
        return StudyDetail(study=OPEN, rounds=[])


@pytest.fixture
def node() -> Asked:
    return Asked()


def toml(values: Mapping[str, Any]) -> str:
    """Write numbers, texts and truths, of which TOML and JSON say the same."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with the files that the rows name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.wasm").write_bytes(ECHO)
    (tmp_path / "echo.wasm").write_bytes(compiled.module("echo"))
    (tmp_path / "input").write_bytes(b"hello")
    (tmp_path / "lines").write_bytes(b"a\nb\n")
    (tmp_path / "study.toml").write_text(toml(STUDY | {"module": "m.wasm"}))
    said = {name.rpartition(".")[2]: value for name, value in PUBLISHED.items()}
    limits = {name: said.pop(name) for name in Limits.__struct_fields__}
    whole = {name: value for name, value in said.items() if name in ModuleFile.__struct_fields__}
    (tmp_path / "said.toml").write_text(f"{toml(whole)}[limits]\n{toml(limits)}")
    return tmp_path


def is_asked(node: Asked, field: str, value: Any) -> bool:
    """Tell whether a field was sent so; `...` is whatever is not its default."""
    operation, _, name = field.rpartition(".")
    sent = [getattr(request, name) for each, request in node.asked if each == operation]
    if value is ...:
        known = {each.name: each.default for each in fields(OPERATIONS[operation].request)}
        return any(each != known[name] for each in sent)
    return value in sent


@pytest.mark.net
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.command} {row.typed}"[:60])
def test_what_is_typed_is_what_the_node_is_asked_and_nothing_else_says_it(
    live: Path, ctl: Ctl, node: Asked, folder: Path, row: Row
) -> None:
    ctl(*row.line.replace("{}", "").split())
    before = {name: is_asked(node, name, value) for name, value in row.fields.items()}
    assert True not in before.values(), "it is asked without that word, too"
    node.asked.clear()
    _, _, err = ctl(*row.line.replace("{}", row.typed).split())
    for name, value in row.fields.items():
        assert is_asked(node, name, value), (name, node.asked, err)


def test_every_field_of_a_request_is_reached_or_named_as_not() -> None:
    there = {
        f"{name}.{field}"
        for name, row in OPERATIONS.items()
        for field in row.request.__struct_fields__
    }
    reached = {name for row in ROWS for name in row.fields}
    unasked = set().union(*NOT_ASKED.values())
    left = {name for name in there if name.rpartition(".")[0] in unasked}
    left |= set().union(*NOT_SAID.values())
    assert not reached & left
    assert reached | left == there
    assert unasked <= set(OPERATIONS)


def test_every_option_is_a_field_or_named_as_the_programs_own() -> None:
    there = {
        (name, word)
        for name, command in LEAVES.items()
        if name not in ALONE and name != "task run"  # a second name, held to the first elsewhere
        for word in (
            *(option.names[-1] for option in command.options if option.names[-1] not in COMMON),
            *(each.metavar for each in command.words),
        )
    }
    rows = {(row.command, row.name) for row in ROWS}
    own = set().union(*OWN.values())
    assert not rows & own
    assert rows | own == there
    assert set(LEAVES) >= ALONE
