"""Webhooks against a real receiver: signed, at least once, under one id, and nobody waits."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from ambientd.adapters.event_spool import EventSpool
from ambientd.api import webhooks
from ambientd.api.alerts import Watch
from ambientd.api.operations import OperationError
from ambientd.api.replies import Event, SafeMode, Status, Trouble, TroubleKind
from ambientd.api.requests import CancelTask, GetStatus
from ambientd.api.webhook_signing import make_secret, read_secret
from ambientd.api.webhook_values import TestWebhook
from ambientd.api.webhooks import FOLDER, Webhooks
from ambientd.config.outlet_options import ALERTS, WebhookOptions
from ambientd.errors import ConfigError
from ambientd.model.base import NodeId
from tests.api.test_desk import Office, assigned, office
from tests.fakes.receiver import Posted, Receiver, receiving

pytestmark = pytest.mark.net
EVENTS = ("task_ended", "task_admitted", *ALERTS[2:])


def is_signed(secret: str, posted: Posted) -> bool:
    """Check a signature as the Standard Webhooks document says it."""
    told = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, told + posted.body, hashlib.sha256).digest()).decode()
    return posted.headers["webhook-signature"] == f"v1,{mac}"


def hooks_of(it: Office, folder: Path, url: str, events: tuple[str, ...] = EVENTS) -> Webhooks:
    node = NodeId(it.owner.signer.public_key)
    return Webhooks(WebhookOptions(url=url, events=events), folder, node, "node1", it.parts)


@asynccontextmanager
async def told_to(it: Office, folder: Path, url: str) -> AsyncIterator[Webhooks]:
    hooks = hooks_of(it, folder, url)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hooks.run, it.desk.status)
        await trio.sleep(0.05)
        yield hooks
        nursery.cancel_scope.cancel()


async def ended(receiver: Receiver) -> tuple[Posted, dict[str, object]]:
    """Wait for the end of a task."""
    while True:
        posted = await receiver.next()
        found: dict[str, object] = msgspec.json.decode(posted.body)
        if found["type"] == "task_ended":
            return posted, found


async def test_what_happens_to_own_tasks_is_posted_and_signed(tmp_path: Path) -> None:
    secret = make_secret(tmp_path / "webhook.secret")
    async with office(tmp_path) as it:
        with receiving() as receiver:
            async with told_to(it, tmp_path, receiver.url + "/hook"):
                task = await assigned(it.desk)
                await it.desk.cancel(CancelTask(task=task))
                posted, found = await ended(receiver)
    assert posted.path == "/hook"
    assert is_signed(secret, posted)
    assert found["id"] == posted.headers["webhook-id"]
    data = found["data"]
    assert isinstance(data, dict)
    assert (data["name"], data["fields"]["task"]) == ("node1", task)
    assert data["fields"]["state"] == "cancelled"


async def test_an_event_is_tried_until_it_is_taken_under_one_id_and_no_redirect_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FIRST_PAUSE_S", 0.01)
    make_secret(tmp_path / "webhook.secret")
    async with office(tmp_path) as it:
        with receiving([500, 302, 429]) as receiver:
            async with told_to(it, tmp_path, receiver.url):
                await assigned(it.desk)
                tries = [await receiver.next() for _ in range(4)]
                await it.desk.cancel(CancelTask(task=(await assigned(it.desk, b"2"))))
                await ended(receiver)
                while list((tmp_path / FOLDER).iterdir()):  # what was taken goes
                    await trio.sleep(0.01)
    assert len({each.headers["webhook-id"] for each in tries}) == 1
    assert {each.path for each in tries} == {"/"}


async def test_what_was_not_taken_is_posted_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FIRST_PAUSE_S", 100.0)
    make_secret(tmp_path / "webhook.secret")
    async with office(tmp_path) as it:
        with receiving([503]) as receiver:
            async with told_to(it, tmp_path, receiver.url):
                await assigned(it.desk)
                first = await receiver.next()
        with receiving() as receiver:
            async with told_to(it, tmp_path, receiver.url):
                again = await receiver.next()
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"]


async def test_a_receiver_that_is_gone_ends_what_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(webhooks, "TRIES_MAX", 3)
    make_secret(tmp_path / "webhook.secret")
    async with office(tmp_path) as it:
        with receiving([500, 500, 500, 410]) as receiver:
            async with told_to(it, tmp_path, receiver.url):
                for name in (b"1", b"2"):
                    await it.desk.cancel(CancelTask(task=(await assigned(it.desk, name))))
                seen = [await receiver.next() for _ in range(6)]
    kinds = [msgspec.json.decode(each.body)["type"] for each in seen]
    assert kinds[:5] == ["task_admitted"] * 3 + ["task_ended", "task_admitted"]
    assert kinds[5] == "task_ended"


async def test_a_test_says_what_the_receiver_answered(tmp_path: Path) -> None:
    secret = make_secret(tmp_path / "webhook.secret")
    async with office(tmp_path) as it:
        with receiving([204, 401]) as receiver:
            hooks = hooks_of(it, tmp_path, receiver.url)
            good, bad = await hooks.test(TestWebhook()), await hooks.test(TestWebhook())
            posted = await receiver.next()
        assert (good.delivered, good.status, bad.delivered, bad.status) == (True, 204, False, 401)
        assert is_signed(secret, posted)
        away = await hooks.test(TestWebhook())
        assert (away.delivered, away.status) == (False, None)
        assert "does not answer" in away.text
        with pytest.raises(OperationError, match="has no webhook"):
            await hooks_of(it, tmp_path, "").test(TestWebhook())


async def test_what_cannot_work_is_said_at_the_start(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        hooks = hooks_of(it, tmp_path, "http://127.0.0.1:9")
        with pytest.raises(ConfigError, match="`ambientctl webhook secret` makes it"):
            await hooks.run(it.desk.status)
        (tmp_path / "webhook.secret").write_text("whsec_c2hvcnQ=\n")
        with pytest.raises(ConfigError, match="holds no secret"):
            await hooks.run(it.desk.status)
        with pytest.raises(ConfigError, match="there is no kind 'taks_ended'; there are "):
            await hooks_of(it, tmp_path, "http://x", ("taks_ended",)).run(it.desk.status)
        await hooks_of(it, tmp_path, "").run(it.desk.status)  # none wanted: it ends at once


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    secret = make_secret(path)
    assert make_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_secret(path)) == 32


def test_a_full_queue_lets_the_oldest_go_and_a_torn_file_is_no_event(tmp_path: Path) -> None:
    spool = EventSpool(tmp_path / "s", 2)
    assert [spool.add(b"%d" % number) for number in range(4)] == [0, 0, 1, 1]
    (tmp_path / "s" / "000000000009.json.draft").write_bytes(b"{")
    again = EventSpool(tmp_path / "s", 2)
    assert again.first() == ("000000000003.json", b"2")
    again.done("000000000003.json")
    again.add(b"4")
    assert again.first() == ("000000000004.json", b"3")
    assert len(list((tmp_path / "s").iterdir())) == 2


async def test_troubles_are_told_when_they_begin_and_when_they_end(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        calm = await it.desk.status(GetStatus())
    trouble = Trouble(kind=TroubleKind.ANCHOR_LATE, text="late", hint="set `chain`")
    bad: Status = msgspec.structs.replace(
        calm, troubles=(trouble,), safe_mode=SafeMode(active=True, reasons=("heat",))
    )
    watch, much, few = Watch(), 1 << 40, 1 << 20

    def said(events: list[Event]) -> list[tuple[str, object]]:
        return [(each.kind, each.fields["trouble"]) for each in events]

    assert watch.look(calm, much, 1) == []
    assert said(watch.look(bad, much, 2)) == [
        ("trouble_began", "anchor_late"),
        ("trouble_began", "safe_mode"),
    ]
    assert watch.look(bad, much, 3) == []
    assert said(watch.look(calm, few, 4)) == [
        ("trouble_began", "disk_low"),
        ("trouble_ended", "anchor_late"),
        ("trouble_ended", "safe_mode"),
    ]
    assert watch.look(calm, (3 << 30) // 2, 5) == []  # not yet well
    assert said(watch.look(calm, much, 6)) == [("trouble_ended", "disk_low")]
