"""Our side of the comparison with Flower: a whole study on one machine.

    python -m benchmarks.flower_ours FOLDER

Four members keep the log with the daemon's own cores, over a network in memory whose delays are no
waiting here; participants have the daemon's role, signed records, training and blobs, which are
kept durably. Each member that is asked gathers the updates, and aggregates them. Prints one line
of JSON.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_record, study_id
from ambientd.ledger.learning_entries import StudyEntry
from ambientd.ledger.learning_events import RoundEnded
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import Propose
from ambientd.model.learning import Plan, RoundState, StudyId, StudyState, Terms
from ambientd.model.learning_effect import BringUpdate, LearningEffect, RoundWish
from ambientd.model.learning_record import FlJoin, FlStudy
from ambientd.model.record import Record
from ambientd.node.build import NodeOptions
from ambientd.node.effect import Told
from ambientd.node.event import RecordOffered
from ambientd.node.learning_event import LearningDone, LearningFailed, ScoreMade, Trained
from ambientd.roles.learning.participant import Participant
from ambientd.rules.learning import models
from ambientd.rules.learning.vectors import to_floats
from ambientd.runtime.learning import LearningHost
from benchmarks import flower_study as study
from benchmarks.flower_devices import Device, Devices, Place, folder_of, host_of, running
from sim.cluster import UNTIL_MS, genesis_of
from sim.joining import join_record, seed_of
from sim.machine import Delivery, Effect
from sim.node_machine import NodeHost
from sim.world import EPOCH_MS, World

MEMBERS = 4
SLICE_MS = 20
LIMIT_MS = 60_000
DAY_MS = 24 * 3_600_000
OFFERED_MAX = 200
"""Records that members are handed at once."""
STILL_SLICES = 5
"""Without a block: the log rests."""
WORDS_AT_ONCE = 20
"""Participants' words that wait for one another, as they do for a block where work goes on."""

Kept = TypeVar("Kept")


class Member(NodeHost):
    """A member of the committee, whose part in rounds is done for real."""

    def __init__(self, options: NodeOptions, seed: int) -> None:
        super().__init__(options, None, seed)
        self.wishes: list[LearningEffect] = []
        self.early: list[BringUpdate] = []
        self.ended: list[RoundEnded] = []

    def execute(self, effect: Effect) -> Delivery | None:
        """Take up what a round wants, and carry out all else."""
        if isinstance(effect, RoundWish):
            self.wishes.append(effect)  # type: ignore[arg-type]  # every wish is an effect
            return None
        if isinstance(effect, BringUpdate):
            self.early.append(effect)
        if isinstance(effect, Told) and isinstance(effect.event, RoundEnded):
            self.ended.append(effect.event)
        return super().execute(effect)


class Mesh:
    """Four members and their log, and the keys and roles of the participants."""

    def __init__(self, root: Path, participants: int, data: Path) -> None:
        genesis = genesis_of(MEMBERS)
        self.world = World(1)
        self.members = [
            Member(NodeOptions(genesis, seed_of("member", number)), number)
            for number in range(MEMBERS)
        ]
        self.hosts = [host_of(root, data, NodeId(each.key), {}) for each in self.members]
        self.author = self.members[0]
        seeds = [seed_of("joiner", number) for number in range(participants)]
        self.signers = [Signer(seed, fingerprint(genesis)) for seed in seeds]
        self.nodes = [NodeId(signer.public_key) for signer in self.signers]
        self.roles = [Participant(signer) for signer in self.signers]
        for member in self.members:
            self.world.add(member)
            self.world.start(member.key)
        inviter = seed_of("member", 0)
        self.offer([join_record(genesis, inviter, *each[::-1]) for each in enumerate(seeds)])
        self.let_pass(lambda: all(self.ledger.node(node) is not None for node in self.nodes))

    @property
    def ledger(self) -> LedgerState:
        """Give the ledger, as a member has it."""
        return self.author.ledger

    def let_pass(self, done: Callable[[], bool]) -> None:
        """Let virtual time pass until something is so."""
        end_ms = self.world.now + LIMIT_MS
        while not done():
            assert self.world.now < end_ms, "the mesh does not come to it"
            self.world.run(self.world.now + SLICE_MS)

    def offer(self, records: Sequence[Record]) -> None:
        """Hand records to members in turns, as peers forward them."""
        for number, record in enumerate(records, start=1):
            member = self.members[number % MEMBERS]
            self.world.act(member.key, _offering(member, record))
            if number % OFFERED_MAX == 0:
                self.world.run(self.world.now + SLICE_MS)

    def begin(self, first: Digest, size_bytes: int, model: str, rounds: int) -> StudyId:
        """Begin the study; every participant is needed in every round."""
        plan = Plan(
            model=model,
            trainer="numpy",
            aggregation="fedavg",
            seed=study.SEED,
            passes=study.PASSES,
            batch=study.BATCH,
            rate_micro=study.RATE_MICRO,
        )
        terms = Terms(
            rounds=rounds,
            participants_min=len(self.nodes),
            wanted=len(self.nodes),
            invite_ms=DAY_MS,
            train_ms=DAY_MS,
            step_ms=DAY_MS,
        )
        body = FlStudy(
            nonce=b"flower",
            name="flower",
            plan=plan,
            terms=terms,
            initial=first,
            model_size_bytes=size_bytes,
            until_ms=UNTIL_MS,
        )
        number = study_id(NodeId(self.author.key), body)
        self.offer([sign_record(self.author.signer, body)])
        self.let_pass(lambda: self.ledger.study(number) is not None)
        return number

    def entry(self, number: StudyId) -> StudyEntry:
        """Give the study as the ledger has it."""
        entry = self.ledger.study(number)
        assert entry is not None
        return entry


def _offering(member: Member, record: Record) -> Callable[[int], Sequence[Effect]]:
    return lambda now: member.feed([RecordOffered(record)], now)


async def play(mesh: Mesh, number: StudyId, devices: Devices) -> dict[str, float]:
    """Play a study from its participants' consents to its end; give what it took."""
    before_s = devices.processor_s()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    joined = FlJoin(study=number, said_ms=EPOCH_MS + mesh.world.now)
    mesh.offer([sign_record(signer, joined) for signer in mesh.signers])
    async with trio.open_nursery() as nursery:
        hall = Hall(mesh, devices, nursery)
        while mesh.entry(number).state in {StudyState.INVITING, StudyState.RUNNING}:
            hall.let_log_go_on()
            await hall.hear()
        hall.listening.cancel()
    seconds = time.perf_counter() - began_s
    processor_s = time.process_time() - began_cpu_s + devices.processor_s() - before_s
    return {"seconds": seconds, "processor_s": processor_s}


class Hall:
    """Hands rounds' wishes to devices and members, and what they have done to the log."""

    def __init__(self, mesh: Mesh, devices: Devices, nursery: trio.Nursery) -> None:
        self._mesh = mesh
        self._devices = devices
        self._nursery = nursery
        self._tell, self._told = trio.open_memory_channel[tuple[int | Member, LearningDone]](1_000)
        self._under_way = 0
        self.listening = trio.CancelScope()
        nursery.start_soon(self._listen)

    async def _listen(self) -> None:
        with self.listening:
            await self._devices.tell(self._tell)

    def let_log_go_on(self) -> None:
        """Let virtual time pass while the log moves, and begin what rounds want of all."""
        mesh, still, seen = self._mesh, 0, -1
        while still < STILL_SLICES:
            mesh.world.run(mesh.world.now + SLICE_MS)
            still += 1
            if mesh.ledger.applied_index != seen:
                seen, still = mesh.ledger.applied_index, 0
                self._look()
            self._begin_for_members()

    def _look(self) -> None:
        """Begin what participants owe, and say again what the log has not taken."""
        now, said = EPOCH_MS + self._mesh.world.now, []
        wishes: list[tuple[int, LearningEffect]] = []
        for place, role in enumerate(self._mesh.roles):
            for each in [*role.look(self._mesh.ledger), *role.on_tick(now)]:
                if isinstance(each, Propose):
                    said.append(sign_record(self._mesh.signers[place], each.body))
                else:
                    assert isinstance(each, RoundWish)
                    wishes.append((place, each))  # type: ignore[arg-type]
        if wishes:
            self._under_way += len(wishes)
            self._devices.begin(wishes)
        self._mesh.offer(said)

    def _begin_for_members(self) -> None:
        """Begin what rounds want of members, side by side."""
        for member, host in zip(self._mesh.members, self._mesh.hosts, strict=True):
            for wish in _taken(member.wishes):
                self._under_way += 1
                self._nursery.start_soon(self._aggregate, member, host, wish)
            for early in _taken(member.early):
                self._nursery.start_soon(host.bring_early, early)
            for event in _taken(member.ended):
                self._nursery.start_soon(host.hear, event)

    async def _aggregate(self, member: Member, host: LearningHost, wish: LearningEffect) -> None:
        await self._tell.send((member, await host.carry_out(wish)))

    async def hear(self) -> None:
        """Wait for what is done, a few words together, and say it."""
        words: list[tuple[int, LearningDone]] = []
        while self._under_way and len(words) < WORDS_AT_ONCE:
            by, done = await self._told.receive()
            self._under_way -= 1
            assert not isinstance(done, LearningFailed), done
            if isinstance(by, Member):
                self._mesh.world.act(by.key, _feeding(by, done))
                break
            words.append((by, done))
        self._say(words)

    def _say(self, words: Sequence[tuple[int, LearningDone]]) -> None:
        now, said = EPOCH_MS + self._mesh.world.now, []
        for place, done in words:
            role = self._mesh.roles[place]
            if isinstance(done, Trained):
                effects = role.on_trained(done.place, done.update, done.samples, None, now)
            else:
                assert isinstance(done, ScoreMade), done
                effects = role.on_score(done.place, done.score, now)
            for each in effects:
                assert isinstance(each, Propose)
                said.append(sign_record(self._mesh.signers[place], each.body))
        self._mesh.offer(said)


def _taken(kept: list[Kept]) -> list[Kept]:
    """Give what has come since the last time."""
    taken = kept[:]
    kept.clear()
    return taken


def _feeding(member: Member, done: LearningDone) -> Callable[[int], Sequence[Effect]]:
    return lambda now: member.feed([done], now)


def counted(mesh: Mesh, number: StudyId, rounds: int) -> int:
    """Count the updates that the models are made of; every round must have come to one."""
    updates = 0
    for each in range(1, rounds + 1):
        row = mesh.ledger.round(number, each)
        assert row is not None
        assert row.state is RoundState.DONE
        updates += len(row.survivors) - len(row.left_out)
    return updates


def main() -> None:
    """Run the study, and print what it came to."""
    options = study.arguments(__doc__.splitlines()[0])
    with tempfile.TemporaryDirectory(prefix="ambient-flower-") as folder:
        root, data = Path(folder), options.folder.resolve()
        mesh = Mesh(root, options.participants, data)
        name = study.model_for(data)
        first = models.initial(models.parsed(name), study.SEED)
        digest = Digest(BlobFiles(folder_of(root, NodeId(mesh.author.key))).put(first))
        number = mesh.begin(digest, len(first), name, options.rounds)
        devices = [Device(node, study.part_name(at)) for at, node in enumerate(mesh.nodes)]
        with running(devices, Place(root, data, number), os.cpu_count() or 1) as up:
            found = trio.run(play, mesh, number, up)
        found["updates"] = counted(mesh, number, options.rounds)
        last = mesh.entry(number).model.hex()
        holders = (folder_of(root, NodeId(each.key)) for each in mesh.members)
        path = next(at for each in holders if (at := each / last[:2] / last[2:]).exists())
        numbers = to_floats(path.read_bytes())
        found["accuracy"] = study.accuracy(models.parsed(name), numbers, data)
        print(json.dumps(found))


if __name__ == "__main__":
    main()
