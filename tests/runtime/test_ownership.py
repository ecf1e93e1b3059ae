"""The owner's word: on disk before it counts, worked out anew as time passes, heeded at once."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace as said

from ambientd.adapters.owner_file import OwnerFile
from ambientd.config.owner_terms import OwnerTerms, check_terms
from ambientd.errors import ConfigError, StoreError
from ambientd.model.offer import Closed, Wish
from ambientd.node.event import Event, OwnerWished
from ambientd.runtime.ownership import LOOK_S, Ownership, standing_of
from sim.trio_world.owner import CALM, CalmDevice, KeptTerms, NoCaps

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000
NOON = 12 * 60
CALM_NOON = replace(CALM, week_minute=NOON)


class Caps(NoCaps):
    def __init__(self) -> None:
        self.held: list[tuple[int, int]] = []

    def hold_to(self, cpu_percent: int, memory_bytes_max: int) -> None:
        self.held.append((cpu_percent, memory_bytes_max))
        self.memory_bytes = min(NoCaps.memory_bytes, memory_bytes_max or NoCaps.memory_bytes)


class Office:
    def __init__(
        self, file: KeptTerms | OwnerFile | None = None, *, states_memory: bool = False
    ) -> None:
        self.file, self.device, self.caps = file or KeptTerms(), CalmDevice(), Caps()
        self.now = NOW
        self.posted: list[Event] = []
        self.owner = Ownership(
            self.file, self.device, self.caps, lambda: self.now, states_memory=states_memory
        )

    async def post(self, event: Event) -> None:
        self.posted.append(event)

    async def say(self, **terms: object) -> None:
        await self.owner.say(said(self.owner.terms, **terms), self.post)


@pytest.mark.parametrize(
    ("terms", "seen", "closed", "text"),
    [
        (OwnerTerms(), CALM_NOON, Closed.OPEN, "takes work"),
        (OwnerTerms(paused=True), CALM_NOON, Closed.PAUSED, "paused by owner"),
        (
            OwnerTerms(paused=True, paused_until_ms=NOW + 6 * HOUR_MS),
            CALM_NOON,
            Closed.PAUSED,
            "paused by owner until 18:00",
        ),
        (
            OwnerTerms(paused=True, paused_until_ms=NOW + 20 * HOUR_MS),
            CALM_NOON,
            Closed.PAUSED,
            "paused by owner until Tue 08:00",
        ),
        (
            OwnerTerms(paused=True, paused_until_ms=NOW + 20 * 24 * HOUR_MS),
            CALM_NOON,
            Closed.PAUSED,
            "paused by owner until in 20 days",
        ),
        (OwnerTerms(paused=True, paused_until_ms=NOW), CALM_NOON, Closed.OPEN, "takes work"),
        (
            OwnerTerms(hours=("18:00-08:00",)),
            CALM_NOON,
            Closed.HOURS,
            "outside its hours until 18:00",
        ),
        (OwnerTerms(hours=("08:00-18:00",)), CALM_NOON, Closed.OPEN, "takes work"),
        (
            OwnerTerms(on_battery=False),
            replace(CALM_NOON, on_battery=True),
            Closed.BATTERY,
            "on battery",
        ),
        (
            OwnerTerms(on_metered=False),
            replace(CALM_NOON, metered_link="wwan0"),
            Closed.METERED,
            "on a metered network (wwan0)",
        ),
        (OwnerTerms(), replace(CALM_NOON, on_battery=True), Closed.OPEN, "takes work"),
    ],
)
def test_the_owners_word_is_told_with_its_reason(
    terms: OwnerTerms, seen: object, closed: Closed, text: str
) -> None:
    standing = standing_of(terms, seen, NOW)  # type: ignore[arg-type]
    assert (standing.closed, standing.text) == (closed, text)


async def test_what_is_said_counts_at_once_and_is_kept_first() -> None:
    office = Office()
    await office.say(paused=True, stops=True)
    assert office.posted == [OwnerWished(Wish(closed=Closed.PAUSED, stops=True))]
    assert isinstance(office.file, KeptTerms)
    assert office.file.terms.paused
    await office.say(paused=False, stops=False)
    assert office.posted[-1] == OwnerWished(Wish())


async def test_a_word_that_cannot_be_kept_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    office = Office(OwnerFile(folder / "owner.json"))
    folder.rmdir()
    with pytest.raises(StoreError, match="nothing was changed"):
        await office.say(paused=True)
    assert not office.owner.terms.paused
    assert office.posted == []


async def test_caps_are_held_and_the_mesh_is_told_a_capacity_that_fits() -> None:
    office = Office()
    await office.say(cpu_percent=50, memory_bytes_max=2**30)
    assert office.caps.held[-1] == (50, 2**30)
    assert office.posted == [OwnerWished(Wish(capacity=2, memory_bytes_max=2**30))]
    assert office.owner.capacity == 2
    await office.say(cpu_percent=1)
    assert office.owner.capacity == 1, "one at a time, however slowly"
    await office.say(cpu_percent=100)
    assert office.posted[-1] == OwnerWished(Wish(memory_bytes_max=2**30))
    await office.say(memory_bytes_max=2**50)
    stated = office.posted[-1]
    assert stated == OwnerWished(Wish(memory_bytes_max=NoCaps.memory_bytes)), "what is there"
    await office.say(memory_bytes_max=0)
    assert office.posted[-1] == OwnerWished(Wish())


async def test_a_plug_that_is_pulled_and_an_hour_that_ends_count_by_themselves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    office = Office()
    await office.say(on_battery=False, paused=True, paused_until_ms=NOW + HOUR_MS)

    async def until_posted(wish: Wish) -> None:
        for _ in range(1_000):
            if office.posted[-1] == OwnerWished(wish):
                return
            # The device is looked at in a thread, whose time no clock of a test can make pass.
            await trio.to_thread.run_sync(int)
            await trio.sleep(LOOK_S)
        raise AssertionError(f"{wish} was never posted: {office.posted}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.owner.run, office.post)
        office.now += HOUR_MS
        await until_posted(Wish())
        office.device.seen = replace(CALM, on_battery=True)
        await until_posted(Wish(closed=Closed.BATTERY))
        count = len(office.posted)
        await trio.sleep(100 * LOOK_S)
        assert len(office.posted) == count, "nothing changes, nothing is said"
        nursery.cancel_scope.cancel()


async def test_what_was_said_holds_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    first = Office(OwnerFile(path))
    await first.say(paused=True, hours=("Mon 08:00-09:00",), refuses=("media",))
    assert path.stat().st_mode & 0o777 == 0o600
    again = Office(OwnerFile(path))
    assert again.owner.terms == first.owner.terms
    assert again.owner.wish == Wish(closed=Closed.PAUSED, refuses=("media",))


@pytest.mark.parametrize("text", ["", "{", '{"paused": 3}', '{"payed": true}', '{"hours": ["x"]}'])
def test_a_file_that_cannot_be_read_keeps_the_node_from_working(tmp_path: Path, text: str) -> None:
    path = tmp_path / "owner.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"owner\.json: cannot be read: .* delete it"):
        Office(OwnerFile(path))


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        (OwnerTerms(hours=("18-8",)), "18:00-08:00"),
        (OwnerTerms(time_zone="Middle/Earth"), "not known on this device"),
        (OwnerTerms(time_zone="../../etc/passwd"), "not known on this device"),
        (OwnerTerms(refuses=("No Class",)), "no class"),
    ],
)
def test_terms_that_mean_nothing_are_refused(terms: OwnerTerms, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        check_terms(terms)


async def test_a_budget_of_the_config_is_told_and_the_owners_cap_where_it_is_smaller() -> None:
    office = Office(states_memory=True)
    assert office.owner.wish == Wish(memory_bytes_max=NoCaps.memory_bytes), "before anybody speaks"
    for said_bytes, told_bytes in (
        (NoCaps.memory_bytes // 2, NoCaps.memory_bytes // 2),
        (2 * NoCaps.memory_bytes, NoCaps.memory_bytes),
        (0, NoCaps.memory_bytes),
    ):
        await office.say(memory_bytes_max=said_bytes)
        assert office.owner.wish.memory_bytes_max == told_bytes
