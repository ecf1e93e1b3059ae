"""Headers that follow a server: portions, reorganisations of any depth, and servers that lie."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambientd.adapters.header_file import HeaderFile
from ambientd.adapters.header_keeper import FOLLOWING, FUTURE_S_MAX, PORTION, STALE_S, HeaderKeeper
from ambientd.adapters.kept_chain import KeptChain
from ambientd.errors import RemoteProtocolError, UnreachableError, UsageError
from ambientd.ports.chain import Inclusion, Tip
from ambientd.rules.bitcoin import HEADER_SIZE, MAIN, REGTEST, decode_header
from tests.fakes.header_server import HeaderServer
from tests.rules.headers import mine

TXID = b"\x77" * 32


def keeper_of(server: HeaderServer, path: Path, now_s: float = 4e9) -> HeaderKeeper:
    return HeaderKeeper(server, HeaderFile(path / "headers", REGTEST), lambda: now_s)


def same(keeper: HeaderKeeper, server: HeaderServer) -> bool:
    own = keeper.chain
    return own.headers(0, own.height + 1) == bytes(server.raw)


async def test_headers_come_in_portions_and_stay(tmp_path: Path) -> None:
    server, seen = HeaderServer(2 * PORTION + 5), []
    keeper = keeper_of(server, tmp_path)
    await keeper.follow(lambda at, end: seen.append((at, end)))
    assert same(keeper, server)
    end = 2 * PORTION + 5
    assert seen == [(PORTION, end), (2 * PORTION, end), (end, end)]
    assert keeper.status().state == FOLLOWING
    assert keeper.status().tip_hash == keeper.chain.tip_hash
    again = keeper_of(server, tmp_path)
    assert same(again, server)
    server.calls.clear()
    await again.follow()
    assert server.calls == ["tip"], "nothing is fetched twice"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(own=st.integers(1, 40), fork=st.integers(0, 40), more=st.integers(1, 5))
def test_a_heavier_branch_is_followed_whatever_its_depth(own: int, fork: int, more: int) -> None:
    async def check(path: Path) -> None:
        server = HeaderServer(own)
        keeper = keeper_of(server, path)
        await keeper.follow()
        start = min(fork, own) + 1
        server.grow(own - start + 1 + more, start=start, salt=1)
        await keeper.follow()
        assert same(keeper, server)
        assert same(keeper_of(server, path), server), "and it is on disk"

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        trio.run(check, Path(folder))


async def test_a_reorganisation_of_several_portions_is_followed(tmp_path: Path) -> None:
    server = HeaderServer(PORTION + 700)
    keeper = keeper_of(server, tmp_path)
    await keeper.follow()
    server.grow(2 * PORTION + 10, start=3, salt=9)
    await keeper.follow()
    assert same(keeper, server)


async def test_a_server_with_less_work_moves_nothing(tmp_path: Path) -> None:
    server, other = HeaderServer(30), HeaderServer(29, salt=5)
    keeper = keeper_of(server, tmp_path)
    await keeper.follow()
    behind = HeaderKeeper(other, HeaderFile(tmp_path / "headers", REGTEST), lambda: 4e9)
    with pytest.raises(UnreachableError, match=r"less work.*delete .*headers"):
        await behind.follow()
    assert same(behind, server)
    assert "less work" in behind.status().state


async def test_a_server_that_lags_on_our_branch_is_no_trouble(tmp_path: Path) -> None:
    server = HeaderServer(30)
    keeper = keeper_of(server, tmp_path)
    await keeper.follow()
    del server.raw[-5 * HEADER_SIZE :]
    await keeper.follow()
    assert keeper.chain.height == 30


def broken(server: HeaderServer, height: int, what: str) -> None:
    """Put a header in place of one that keeps the rules."""
    previous = server.header_at(height - 1)
    good = decode_header(server.header_at(height))
    if what == "time":
        bad = mine(previous, decode_header(server.header_at(height - 6)).time_s)
    elif what == "bits":
        bad = mine(previous, good.time_s, bits=0x207FFFFE)
    elif what == "link":
        bad = mine(server.header_at(height - 2), good.time_s)
    else:
        bad = next(
            raw
            for nonce in range(100)
            if int.from_bytes(decode_header(raw := good_with(server, height, nonce)).hash, "little")
            > decode_header(raw).target
        )
    server.raw[height * HEADER_SIZE : (height + 1) * HEADER_SIZE] = bad
    tail = server.height - height
    for place in range(height + 1, height + 1 + tail):
        previous = server.header_at(place - 1)
        later = mine(previous, decode_header(server.header_at(place)).time_s)
        server.raw[place * HEADER_SIZE : (place + 1) * HEADER_SIZE] = later


def good_with(server: HeaderServer, height: int, nonce: int) -> bytes:
    return server.header_at(height)[:76] + nonce.to_bytes(4, "little")


@pytest.mark.parametrize("what", ["time", "bits", "link", "work"])
async def test_headers_that_break_a_rule_are_refused_and_named(tmp_path: Path, what: str) -> None:
    server = HeaderServer(20)
    keeper = keeper_of(server, tmp_path)
    await keeper.follow()
    before = keeper.chain.tip_hash
    server.grow(10)
    broken(server, 24, what)
    with pytest.raises(RemoteProtocolError, match="regtest header at height 24 is not valid"):
        await keeper.follow()
    assert keeper.chain.tip_hash == before
    assert "at height 24 is not valid" in keeper.status().state
    server.grow(11, start=21, salt=3)
    await keeper.follow()
    assert keeper.status().state == FOLLOWING


async def test_a_time_in_the_future_is_refused_until_it_is_near(tmp_path: Path) -> None:
    server = HeaderServer(5)
    newest_s = decode_header(server.header_at(5)).time_s
    with pytest.raises(RemoteProtocolError, match="too far in the future"):
        await keeper_of(server, tmp_path, newest_s - FUTURE_S_MAX - 1).follow()
    keeper = keeper_of(server, tmp_path, newest_s - FUTURE_S_MAX)
    await keeper.follow()
    assert same(keeper, server)


async def test_another_network_is_refused(tmp_path: Path) -> None:
    server = HeaderServer(3)
    keeper = HeaderKeeper(server, HeaderFile(tmp_path / "headers", MAIN), lambda: 4e9)
    with pytest.raises(RemoteProtocolError, match=r"does not have the .* header that ours begin"):
        await keeper.follow()


async def test_a_server_below_our_checkpoint_has_to_synchronise_first(tmp_path: Path) -> None:
    server = HeaderServer(3)
    file = HeaderFile(tmp_path / "headers", MAIN, 2016)
    with pytest.raises(UnreachableError, match=r"begin at 2016: wait until it has synchronised"):
        await HeaderKeeper(server, file, lambda: 4e9).follow()


class Restless(HeaderServer):
    """Reorganises once while its headers are being fetched."""

    turns = 1

    async def headers(self, start: int, end: int) -> bytes:
        found = await super().headers(start, end)
        if self.turns and end > PORTION:
            self.turns -= 1
            self.grow(self.height - PORTION + 4, start=PORTION - 2, salt=40)
        return found


async def test_a_reorganisation_between_two_portions_is_nobody_s_fault(tmp_path: Path) -> None:
    server = Restless(2 * PORTION + 3)
    keeper = keeper_of(server, tmp_path)
    await keeper.follow()
    assert same(keeper, server)


class Fidgeting(HeaderServer):
    """Has always just left the branch that it is asked for."""

    async def headers(self, start: int, end: int) -> bytes:
        self.grow(2, start=self.height, salt=self.height)
        raise UsageError("not there any more")


async def test_a_chain_that_never_rests_is_left_for_later(tmp_path: Path) -> None:
    server = Fidgeting(10)
    with pytest.raises(UnreachableError, match="moves faster"):
        await keeper_of(server, tmp_path).follow()


class Boasting(HeaderServer):
    """Claims a tip far above its headers."""

    async def tip(self) -> Tip:
        return replace(await super().tip(), height=400_000_000)


async def test_a_server_without_the_headers_of_its_tip_is_refused(tmp_path: Path) -> None:
    keeper = keeper_of(Boasting(3), tmp_path)
    with pytest.raises(RemoteProtocolError, match="up to its own tip"):
        await keeper.follow()
    assert keeper.chain.height == 0


class Sparing(HeaderServer):
    """Gives less than it is asked for."""

    async def headers(self, start: int, end: int) -> bytes:
        return (await super().headers(start, end))[:-1]


async def test_a_portion_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RemoteProtocolError, match="bytes of headers"):
        await keeper_of(Sparing(3), tmp_path).follow()


async def test_following_goes_on_when_the_server_comes_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    server = HeaderServer(4)
    server.is_away = True
    keeper = keeper_of(server, tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.keep, 10.0)
        await trio.sleep(25)
        assert keeper.status().state == "the server is away"
        server.is_away = False
        await trio.sleep(10)
        assert same(keeper, server)
        nursery.cancel_scope.cancel()


async def test_a_server_is_not_asked_again_for_a_while(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    server = HeaderServer(4)
    keeper = keeper_of(server, tmp_path)
    await keeper.follow(age_s=30)
    asked = len(server.calls)
    await trio.sleep(29)
    await keeper.follow(age_s=30)
    assert len(server.calls) == asked
    await trio.sleep(2)
    await keeper.follow(age_s=30)
    assert len(server.calls) > asked


def kept(server: HeaderServer, path: Path) -> KeptChain:
    return KeptChain(server, keeper_of(server, path))


@pytest.mark.parametrize(("network", "is_stale"), [("signet", True), ("regtest", False)])
async def test_a_tip_that_is_hours_old_is_none_where_bitcoin_blocks_come_by_themselves(
    tmp_path: Path, network: str, is_stale: bool
) -> None:
    server = HeaderServer(10)
    server.network = network
    newest_s = decode_header(bytes(server.raw[-HEADER_SIZE:])).time_s
    young = keeper_of(server, tmp_path, newest_s + STALE_S)
    assert (await KeptChain(server, young).tip()).height == 10
    old = KeptChain(server, keeper_of(server, tmp_path, newest_s + STALE_S + 1))
    if is_stale:
        with pytest.raises(UnreachableError, match=r"at height 10, is 6 hours old.*Anchors wait"):
            await old.tip()
    else:
        assert (await old.tip()).height == 10
    assert old.network == network


async def test_confirmations_are_counted_on_our_own_headers(tmp_path: Path) -> None:
    server = HeaderServer(10)
    chain = kept(server, tmp_path)
    assert await chain.confirmations(TXID) == 0
    server.grow(1)
    server.places[TXID] = server.place(11)
    assert await chain.confirmations(TXID) == 1
    server.grow(5)
    asked = server.calls.count("inclusion")
    assert await chain.confirmations(TXID) == 6
    assert server.calls.count("inclusion") == asked, "our headers say it without the server"
    server.grow(9, start=11, salt=2)
    del server.places[TXID]
    assert await chain.confirmations(TXID) == 0


@pytest.mark.parametrize(
    "lie",
    [
        lambda server: replace(server.place(5), height=6),
        lambda server: replace(server.place(5), block_hash=b"\x13" * 32),
        lambda server: Inclusion(server.place(5).block_hash, 0),
    ],
)
async def test_a_place_that_is_not_among_our_headers_is_refused(
    tmp_path: Path, lie: object
) -> None:
    server = HeaderServer(10)
    server.places[TXID] = lie(server)  # type: ignore[operator]
    with pytest.raises(RemoteProtocolError, match="not among our regtest headers"):
        await kept(server, tmp_path).inclusion(TXID)


async def test_a_place_above_our_tip_does_not_count_yet(tmp_path: Path) -> None:
    server = HeaderServer(10)
    chain = kept(server, tmp_path)
    server.places[TXID] = Inclusion(b"\x13" * 32, 11)
    assert await chain.inclusion(TXID) is None


async def test_a_server_is_asked_for_an_unknown_transaction_once_a_tip(tmp_path: Path) -> None:
    server = HeaderServer(10)
    chain = kept(server, tmp_path)
    for _ in range(5):
        assert await chain.inclusion(TXID) is None
    assert server.calls.count("inclusion") == 1
    server.grow(1)
    assert await chain.inclusion(TXID) is None
    assert server.calls.count("inclusion") == 2


async def test_what_was_asked_is_remembered_within_bounds(tmp_path: Path) -> None:
    server = HeaderServer(3)
    chain = kept(server, tmp_path)
    for number in range(200):
        await chain.inclusion(number.to_bytes(32, "big"))
    assert len(chain._places) <= 64


async def test_headers_above_the_tip_are_the_caller_s_mistake(tmp_path: Path) -> None:
    server = HeaderServer(3)
    chain = kept(server, tmp_path)
    with pytest.raises(UsageError, match="no Bitcoin block 4 yet"):
        await chain.header(4)
    assert await chain.headers(1, 4) == bytes(server.raw[HEADER_SIZE : 4 * HEADER_SIZE])
