"""ambientctl demo: a mesh on this machine, a liar caught, a receipt in a Bitcoin block."""

import shlex
import time
from pathlib import Path
from typing import Protocol

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.local_daemons import LOCAL_PORTS, DaemonsError, LocalDaemons
from ambientd.api.own_ports import own_ports
from ambientd.cli.console import CommonArguments, in_words, print_line, short, warn
from ambientd.cli.demo_stage import (
    EventFeed,
    signals_as_interrupts,
    stage_folder,
    undisturbed,
)
from ambientd.cli.demo_story import Story
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.receipt_commands import Report, report_lines
from ambientd.cli.run_command import TERMINAL_STATES
from ambientd.errors import ConfigError, UsageError

DATA = Path(__file__).parent / "demo_data"
READY_DEADLINE_S = 90.0
TASK_DEADLINE_S = 60.0
ANCHOR_DEADLINE_S = 120.0
TASKS_MAX = 12
BLOCK_INTERVAL_MS = 500
NODES_MAX = 16
_LOOK_S = 0.2
_SETTLE_S = 1.0
_QUIET_S = 0.1
_ANCHORS_LOOKED_AT = 4
_ANCHOR_KINDS = frozenset({replies.EventKind.ANCHOR_SENT, replies.EventKind.ANCHOR_CONFIRMED})
_REPLICAS = 2
_TASKS_LIKE_THE_FIRST = 3
_CONFIRMATIONS = 6


class DemoArguments(CommonArguments, Protocol):
    """Options of `demo`."""

    nodes: int
    liars: int | None
    keep: bool
    dir: str | None


def run(arguments: DemoArguments) -> ExitCode:
    """Play the demonstration; leave no process, and no file unless asked to."""
    _check(arguments)
    story = Story(as_json=arguments.as_json)
    port, claim = own_ports(LOCAL_PORTS)
    with claim, signals_as_interrupts(), stage_folder(arguments.dir, keep=arguments.keep) as root:
        demo = Demo(arguments, root, port, story)
        try:
            return demo.play()
        except DaemonsError as error:
            story.tell("failed", f"the demonstration failed: {error}")
            warn(f"ambientctl: {error}; look again with --keep, the logs are DIR/node*/daemon.log")
            return ExitCode.FAILED
        finally:
            demo.end()


def _liars(arguments: DemoArguments) -> int:
    """Give how many nodes lie: one unless told otherwise, none where a liar would win."""
    from ambientd.rules.verdicts import liars_max

    chosen = arguments.liars
    return min(1, liars_max(arguments.nodes)) if chosen is None else chosen


def _check(arguments: DemoArguments) -> None:
    from ambientd.rules.verdicts import liars_max

    if not 1 <= arguments.nodes <= NODES_MAX:
        msg = f"--nodes {arguments.nodes}: a demonstration has 1 to {NODES_MAX} nodes; 4 is usual"
        raise UsageError(msg)
    most = liars_max(arguments.nodes)
    if _liars(arguments) > most:
        msg = (
            f"--liars {arguments.liars}: a committee of {arguments.nodes} stays honest with at "
            f"most {most} (a third, rounded down, of the others); take more nodes or fewer liars"
        )
        raise UsageError(msg)
    for name in ("classify.wasm", "digits-100.bin", "digits-100.labels"):
        if not (DATA / name).is_file():
            msg = f"{DATA / name}: is missing; install ambientd again"
            raise ConfigError(msg)


class Demo:
    """One demonstration, from founding the cluster to checking the receipt."""

    def __init__(self, arguments: DemoArguments, root: Path, base_port: int, story: Story) -> None:
        self._arguments = arguments
        self._root = root
        self._base_port = base_port
        self._story = story
        self._mesh: LocalDaemons | None = None
        self._feed: EventFeed | None = None
        self._tasks: set[str] = set()
        self._watchers: list[Client] = []
        self._ended: set[str] = set()
        self._named: list[str] = []
        self._anchor_steps: set[tuple[object, object, object]] = set()
        self._receipt = root / "demo.receipt"
        self._output = root / "demo.output"
        self._fingerprint = b""

    def play(self) -> ExitCode:
        """Tell the whole story; give the exit code."""
        mesh = self._found()
        self._gather(mesh)
        with mesh.nodes[0].client() as client:
            caught = self._catch(mesh, client)
            anchored = self._anchor(client, caught)
            accuracy = self._collect(client, caught)
        self.end()
        report = self._verify()
        return self._conclude(mesh, accuracy, report, anchored=anchored)

    def end(self) -> None:
        """Stop the daemons and the chain; doing it twice is no error."""
        mesh, self._mesh = self._mesh, None
        if self._feed is not None:
            self._feed.close()
        for watcher in self._watchers:
            watcher.close()
        if mesh is None:
            return
        with undisturbed():
            gently = mesh.stop()
            from ambientd.api.embedded_chain import stop_embedded_chain

            chain_ended = stop_embedded_chain(self._root / "chain")
        count = in_words(len(mesh.nodes), "daemon")
        how = "" if gently else ", some by force"
        self._story.tell("stopped", f"{count} and the Bitcoin chain stopped{how}")
        if not chain_ended:
            warn(f"ambientctl: the chain in {self._root / 'chain'} still runs; it ends by itself")

    def _found(self) -> LocalDaemons:
        from ambientd.api.cluster import ClusterPlan, create_cluster

        members, liars = self._arguments.nodes, _liars(self._arguments)
        plan = ClusterPlan(
            name="demo",
            base_port=self._base_port,
            block_interval_ms=BLOCK_INTERVAL_MS,
            liars=liars,
        )
        founded = create_cluster(self._root, members, plan)
        mesh = LocalDaemons(founded)
        self._fingerprint = founded.fingerprint
        self._story.names = mesh.names
        self._story.tell(
            "founded",
            f"cluster of {in_words(members, 'node')} founded in {self._root}, "
            f"fingerprint {short(founded.fingerprint.hex())}",
            dir=str(self._root),
            fingerprint=founded.fingerprint.hex(),
            nodes=[node.founded.node.hex() for node in mesh.nodes],
        )
        for liar in mesh.liars:
            name = self._story.name(liar)
            self._story.tell("liar_planted", f"{name} will corrupt its outputs", node=liar)
        return mesh

    def _gather(self, mesh: LocalDaemons) -> None:
        self._mesh = mesh
        mesh.start()
        pids = [node.process.pid for node in mesh.nodes if node.process is not None]
        self._story.tell("started", f"{in_words(len(pids), 'daemon')} started", pids=pids)
        status = mesh.wait_ready(READY_DEADLINE_S)
        self._story.tell(
            "mesh_formed",
            f"mesh formed: {in_words(len(mesh.nodes), 'node')} connected, coordinator of term "
            f"{status.term} is {self._story.name(status.coordinator)}",
            coordinator=status.coordinator,
            term=status.term,
        )
        self._feed = EventFeed(mesh.nodes[0].client())
        self._watchers = [node.client() for node in mesh.nodes]

    def _catch(self, mesh: LocalDaemons, client: Client) -> replies.Task:
        """Submit until every liar is named; give the task that caught one."""
        chosen: replies.Task | None = None
        for number in range(1, TASKS_MAX + 1):
            task = self._one_task(mesh, client, number)
            if chosen is None or (task.liars and not chosen.liars):
                chosen = task
            self._named += [liar for liar in task.liars if liar not in self._named]
            if set(mesh.liars) <= set(self._named):
                break
        else:
            missing = [liar for liar in mesh.liars if liar not in self._named]
            names = ", ".join(self._story.name(liar) for liar in missing)
            self._story.tell(
                "not_named", f"{names} was never caught in {TASKS_MAX} tasks: no luck, or a fault"
            )
        if chosen is None:
            msg = "no task was submitted"
            raise DaemonsError(msg)
        return chosen

    def _one_task(self, mesh: LocalDaemons, client: Client, number: int) -> replies.Task:
        request = requests.SubmitTask(
            module=(DATA / "classify.wasm").read_bytes(),
            input=(DATA / "digits-100.bin").read_bytes(),
            replicas=replicas_of(number, len(mesh.nodes)),
            assurance="replicated" if len(mesh.nodes) > 1 else "none",
            nonce=number.to_bytes(4, "big") + self._fingerprint[:12],
        )
        submitted_s = time.monotonic()
        task_id = client.call(operations.TASK_SUBMIT, request).task_id
        self._tasks.add(task_id)
        self._story.tell(
            "submitted",
            f"task {number} ({short(task_id)}): classify 100 images of digits, "
            f"{in_words(request.replicas, 'replica')}",
            task=task_id,
        )
        show = requests.ShowTask(task=task_id)
        while True:
            self._listen(_LOOK_S)
            task = client.call(operations.TASK_SHOW, show)
            if task.state in TERMINAL_STATES:
                break
            if time.monotonic() - submitted_s > TASK_DEADLINE_S:
                mesh.check_alive()
                msg = f"task {short(task_id)} is still {task.state} after {TASK_DEADLINE_S:g} s"
                raise DaemonsError(msg)
        self._hear_the_end(task_id)
        self._tell_end(task, number)
        return task

    def _hear_the_end(self, task_id: str) -> None:
        """Let what is still on its way about a task be told before its result."""
        end_s = time.monotonic() + _SETTLE_S
        while task_id not in self._ended and time.monotonic() < end_s:
            self._listen(_QUIET_S)
        while self._listen(_QUIET_S):
            pass

    def _tell_end(self, task: replies.Task, number: int) -> None:
        gas = "no gas" if task.gas is None else f"gas {task.gas:,}"
        liars = ", ".join(self._story.name(liar) for liar in task.liars)
        self._story.tell(
            "task_result",
            f"task {number} is {task.state}: {task.outcome}, verdict {task.verdict}, {gas}, "
            f"paid {task.paid_msat / 1000:,.3f} sat" + (f"; it lied: {liars}" if liars else ""),
            task=task.task_id,
            outcome=task.outcome,
            verdict=task.verdict,
            gas=task.gas,
            liars=task.liars,
            evidence=task.evidence,
            paid_msat=task.paid_msat,
            energy=task.energy,
        )

    def _listen(self, timeout_s: float) -> bool:
        """Tell what a node reports within a moment, and whether it reported anything."""
        if self._feed is None or self._feed.is_over():
            time.sleep(timeout_s)
            return False
        events = list(self._feed.wait(timeout_s))
        for event in events:
            if self._concerns_us(event):
                self._story.happened(event)
        return bool(events)

    def _concerns_us(self, event: replies.Event) -> bool:
        task = event.fields.get("task")
        if event.kind == replies.EventKind.TASK_ENDED:
            self._ended.add(str(task))
            return False  # the result is told with all that belongs to it
        if event.kind in _ANCHOR_KINDS:
            root, txid, depth = (event.fields.get(key) for key in ("root", "txid", "confirmations"))
            if not self._is_new_step(root, txid, depth or 0):
                return False
        return task is None or task in self._tasks

    def _anchor(self, client: Client, task: replies.Task) -> bool:
        """Wait until the receipt's root has its confirmations; tell each one."""
        if task.state != "final":
            return False
        end_s = time.monotonic() + ANCHOR_DEADLINE_S
        seen = ""
        while time.monotonic() < end_s:
            self._listen(_LOOK_S)
            self._tell_anchors()
            receipt = client.call(
                operations.TASK_SHOW, requests.ShowTask(task=task.task_id)
            ).receipt
            line = f"{receipt.state} {receipt.height} {receipt.confirmations}"
            if line != seen:
                seen = line
                self._tell_receipt(receipt)
            if receipt.state == "anchored" and (receipt.confirmations or 0) >= _CONFIRMATIONS:
                return True
        self._story.tell(
            "anchor_pending", f"the receipt is not anchored after {ANCHOR_DEADLINE_S:g} s"
        )
        return False

    def _tell_anchors(self) -> None:
        """Tell each confirmation once; only the node that pays for an anchor sees it coming."""
        request = requests.GetAnchors(limit=_ANCHORS_LOOKED_AT)
        for watcher in self._watchers:
            for anchor in watcher.call(operations.ANCHOR_STATUS, request).anchors:
                if anchor.txid is None:
                    continue
                if self._is_new_step(anchor.root, anchor.txid, 0):
                    self._story.anchor_sent(anchor)
                if self._is_new_step(anchor.root, anchor.txid, anchor.confirmations or 0):
                    self._story.anchor_confirmed(anchor)

    def _is_new_step(self, root: object, txid: object, confirmations: object) -> bool:
        """Note a step of an anchor; several nodes tell the same one."""
        step = (root, txid, confirmations)
        if step in self._anchor_steps:
            return False
        self._anchor_steps.add(step)
        return True

    def _tell_receipt(self, receipt: replies.ReceiptState) -> None:
        where = f" in Bitcoin block {receipt.height}" if receipt.height is not None else ""
        depth = (
            ""
            if receipt.confirmations is None
            else f", {in_words(receipt.confirmations, 'confirmation')}"
        )
        self._story.tell(
            "receipt",
            f"receipt {receipt.state}{where}{depth}",
            state=receipt.state,
            height=receipt.height,
            confirmations=receipt.confirmations,
            txid=receipt.txid,
        )

    def _collect(self, client: Client, task: replies.Task) -> float | None:
        """Bring output and receipt home; give the share of images that were recognised."""
        answer = client.call(operations.RECEIPT_GET, requests.GetReceipt(task=task.task_id))
        self._receipt.write_bytes(answer.data)
        self._story.tell(
            "receipt_fetched",
            f"receipt of task {short(task.task_id)} fetched, {len(answer.data):,} bytes",
            task=task.task_id,
            size_bytes=len(answer.data),
        )
        if task.outcome != "completed":
            return None
        output = client.call(operations.TASK_OUTPUT, requests.GetOutput(task=task.task_id)).data
        self._output.write_bytes(output)
        accuracy = accuracy_of(output, (DATA / "digits-100.labels").read_bytes())
        self._story.tell(
            "output",
            f"output fetched, {len(output)} bytes: accuracy {accuracy:.1%}",
            accuracy=accuracy,
        )
        return accuracy

    def _verify(self) -> Report:
        from ambientd.api.offline import check_receipt

        output = self._output.read_bytes() if self._output.exists() else None
        report: Report = check_receipt(self._receipt.read_bytes(), self._fingerprint, output)
        self._story.tell("verifying", "no daemon runs any more; the receipt is checked offline")
        if self._arguments.as_json:
            for check in report.checks:
                self._story.tell(
                    "check", f"{check.name}: {check.detail}", name=check.name, ok=check.ok
                )
        else:
            for line in report_lines(self._receipt.name, report):
                print_line(f"            {line}".rstrip())
        return report

    def _conclude(
        self, mesh: LocalDaemons, accuracy: float | None, report: Report, *, anchored: bool
    ) -> ExitCode:
        keep = self._arguments.keep
        fields = {
            "receipt": str(self._receipt),
            "accuracy": accuracy,
            "liars": mesh.liars,
            "named": self._named,
            "seconds": round(self._story.seconds, 3),
            "valid": report.valid,
            "anchored": anchored,
            "kept": keep,
        }
        first = shlex.quote(str(mesh.nodes[0].founded.data_dir))
        lines = [
            f"accuracy {'unknown' if accuracy is None else f'{accuracy:.1%}'}, "
            f"liars named {len(set(mesh.liars) & set(self._named))} of {len(mesh.liars)}, "
            f"receipt {'valid' if report.valid else 'NOT VALID'}, {self._story.seconds:.1f} s",
        ]
        if keep:
            lines += [
                f"receipt: {self._receipt}",
                f"check it yourself: ambientctl receipt verify {shlex.quote(str(self._receipt))} "
                f"--output {shlex.quote(str(self._output))} --cluster {self._fingerprint.hex()}",
                f"start the nodes again: ambientd --data-dir {first} (and the others)",
                f"look around: ambientctl --data-dir {first} status | nodes | task list",
            ]
        else:
            lines += [
                f"receipt: {self._receipt} (removed now with everything else; --keep keeps it)",
                "look further: ambientctl demo --keep, then ambientctl receipt verify FILE",
            ]
        self._story.done(fields, lines)
        if not report.valid:
            return ExitCode.NOT_VERIFIED
        caught = set(self._named) == set(mesh.liars)
        return ExitCode.DONE if caught and anchored and accuracy is not None else ExitCode.FAILED


def replicas_of(number: int, nodes: int) -> int:
    """Give what a task asks for: two, and after three tasks in vain one more each time.

    Who does well is drawn more and more often, so with two a liar may wait for long; the submitter
    works for itself only when nobody else can.
    """
    wanted = _REPLICAS + max(0, number - _TASKS_LIKE_THE_FIRST)
    return min(wanted, max(nodes - 1, min(_REPLICAS, nodes)))


def accuracy_of(output: bytes, labels: bytes) -> float:
    """Give the share of digits that agree; raise DaemonsError when they cannot be compared."""
    found, wanted = _digits(output), _digits(labels)
    if not wanted or len(found) != len(wanted):
        msg = f"the output names {len(found)} digits, the labels {len(wanted)}"
        raise DaemonsError(msg)
    return sum(a == b for a, b in zip(found, wanted, strict=True)) / len(wanted)


def _digits(data: bytes) -> list[int]:
    """Read digits as bytes 0 to 9 or as text; ASCII digits and white space are not below 10."""
    if data and max(data) <= 9:
        return list(data)
    return [byte - 48 for byte in data if 48 <= byte <= 57]
