"""The front end over real connections: what is answered, and who is refused."""

import base64
import gzip
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ambientd.api import replies, requests
from ambientd.api.operations import OPERATIONS, OperationError
from ambientd.api.rest import downloads, front
from ambientd.api.rest.binding import Routes, bind
from ambientd.api.routes import BASE_PATH, Method, Scope
from tests.api.rest.support import Site, ask, site
from tests.fakes.desk_node import ECHO, NODE, DeskNode

pytestmark = pytest.mark.net


def a_task(data: bytes = b"hello", module: bytes = ECHO, nonce: bytes = b"n") -> dict[str, Any]:
    fields = {"module": module, "input": data, "nonce": nonce}
    return {name: base64.b64encode(value).decode() for name, value in fields.items()}


async def submitted(it: Site, headers: Mapping[str, str], data: bytes = b"hello") -> str:
    answer = await it.post("/tasks", a_task(data), headers)
    assert answer.status == 201, answer.body
    return str(answer.value["task_id"])


async def test_a_task_is_submitted_looked_at_and_its_output_fetched(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        task = await submitted(it, token)
        shown = await it.get(f"/tasks/{task[:12]}", token)
        assert (shown.status, shown.value["state"]) == (200, "final")
        listed = await it.get("/tasks?limit=1", token)
        assert [each["task_id"] for each in listed.value["tasks"]] == [task]
        output = await it.get(f"/tasks/{task}/output", token)
        assert base64.b64decode(output.value["data"]) == b"hello"
        raw = await it.get(f"/tasks/{task}/output", {**token, "accept": "application/octet-stream"})
        assert (raw.body, raw.headers["content-type"]) == (b"hello", "application/octet-stream")


async def test_health_and_readiness_need_no_token_and_readiness_says_why_not(
    tmp_path: Path,
) -> None:
    desk = DeskNode()
    async with site(tmp_path, desk.handlers()) as it:
        assert (await it.get("/health")).status == 200
        assert (await it.get("/ready")).value == {"ready": True}
        desk.is_poor = True
        answer = await it.get("/ready")
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.value["detail"] == "no quorum"
        assert answer.value["hint"] == "start the others"


async def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it, await it.connect() as stream:
        token = it.token(Scope.READ)
        for _ in range(5):
            answer = await ask(stream, "GET", f"{BASE_PATH}/nodes", token)
            assert answer.value["nodes"][0]["id"] == NODE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip", ""])
@pytest.mark.parametrize(("method", "path"), [("POST", "/tasks"), ("PUT", f"/blobs/{'0' * 64}")])
async def test_no_body_is_unpacked(tmp_path: Path, method: str, path: str, coding: str) -> None:
    """A bomb of some kilobytes is refused by its head, and nothing of it is kept."""
    bomb = gzip.compress(b'{"input": "' + bytes(10_000_000) + b'"}')
    async with site(tmp_path, DeskNode().handlers()) as it:
        told = {"content-type": "application/json", "content-encoding": coding}
        answer = await it.ask(method, path, {**it.token(Scope.SUBMIT), **told}, bomb)
        assert (answer.status, answer.value["code"]) == (415, "unsupported")
        assert "uncompressed" in answer.value["hint"]
        plain = {**it.token(Scope.SUBMIT), "content-encoding": "identity"}
        assert (await it.post("/tasks", a_task(), plain)).status == 201


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        (None, "GET", "/status", 401),
        (None, "POST", "/tasks", 401),
        (Scope.READ, "GET", "/status", 200),
        (Scope.READ, "POST", "/tasks", 403),
        (Scope.SUBMIT, "POST", "/invitations", 403),
        (Scope.ADMIN, "POST", "/invitations", 201),
    ],
)
async def test_a_scope_allows_what_it_includes(
    tmp_path: Path, scope: Scope | None, method: str, path: str, status: int
) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        headers = {} if scope is None else it.token(scope)
        answer = await it.ask(method, path, headers)
        assert answer.status == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
        if status == 403:
            needed = Scope.SUBMIT if path == "/tasks" else Scope.ADMIN
            assert f"`ambientctl token create NAME --scope {needed}`" in answer.value["hint"]


async def test_a_wrong_an_expired_and_a_revoked_token_are_refused(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        good, expired = it.token(), it.token(expires_ms=1)
        words = good["authorization"]
        wrong = {"authorization": words[:-1] + ("1" if words.endswith("0") else "0")}
        assert (await it.get("/status", good)).status == 200
        for headers in (
            wrong,
            expired,
            {"authorization": "Basic eDp5"},
            {"authorization": "Bearer"},
        ):
            answer = await it.get("/status", headers)
            assert answer.status == 401
            assert b"ambient_" not in answer.body
        it.tokens.unlink()
        assert (await it.get("/status", good)).status == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", ""])
async def test_a_request_for_another_name_is_refused_whatever_it_asks(
    tmp_path: Path, host: str
) -> None:
    async with site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it:
        assert (await it.get("/status", {"host": host})).status == 421
        assert (await it.get("/status", {"host": f"127.0.0.1:{it.port}"})).status == 200


async def test_pages_of_other_origins_are_refused_unless_the_owner_names_them(
    tmp_path: Path,
) -> None:
    friend = "https://friend.example"
    options = {"open_on_loopback": True, "cors_origins": (friend,)}
    async with site(tmp_path, DeskNode().handlers(), **options) as it:
        assert (await it.get("/status", {"origin": "https://evil.example"})).status == 403
        assert (await it.get("/status", {"origin": "null"})).status == 403
        answer = await it.get("/status", {"origin": friend})
        assert answer.headers["access-control-allow-origin"] == friend
        preflight = await it.ask("OPTIONS", "/tasks", {"origin": friend})
        assert preflight.status == 204
        assert (await it.ask("OPTIONS", "/tasks")).status == 405


async def test_a_page_that_came_by_a_trusted_proxy_with_tls_may_act(tmp_path: Path) -> None:
    options = {"trusted_proxies": ("127.0.0.1",), "hosts": ("mesh.example",)}
    asked = {
        "host": "mesh.example",
        "origin": "https://mesh.example",
        "x-forwarded-proto": "https",
        "x-forwarded-for": "192.0.2.7",
    }
    async with site(tmp_path, DeskNode().handlers(), **options) as it:
        token = it.token()
        assert (await it.ask("POST", "/invitations", {**token, **asked})).status == 201
        other = {**token, **asked, "origin": "https://evil.example"}
        assert (await it.ask("POST", "/invitations", other)).status == 403
        plain = {**token, **asked, "x-forwarded-proto": "http"}
        assert (await it.ask("POST", "/invitations", plain)).status == 403
        assert (await it.ask("POST", "/invitations", {**token, "origin": "x"})).status == 403


async def test_what_somebody_else_forwards_is_not_believed(tmp_path: Path) -> None:
    asked = {
        "origin": "https://localhost",
        "x-forwarded-proto": "https",
        "x-forwarded-for": "127.0.0.1",
        "forwarded": "for=127.0.0.1;proto=https",
    }
    for trusted in ((), ("192.0.2.1", "10.0.0.0/8")):
        async with site(tmp_path, DeskNode().handlers(), trusted_proxies=trusted) as it:
            answer = await it.ask("POST", "/invitations", {**it.token(), **asked})
            assert answer.status == 403
            assert "[http] trusted_proxies" in answer.value["hint"]


async def test_behind_a_trusted_proxy_each_caller_has_limits_of_its_own(tmp_path: Path) -> None:
    options = {"trusted_proxies": ("127.0.0.1",), "requests_per_s": 1}
    async with site(tmp_path, DeskNode().handlers(), **options) as it:

        async def ask(caller: str) -> int:
            written_by_the_caller = f"{os.urandom(1)[0]}.1.1.1, {caller}"
            told = {"x-forwarded-for": written_by_the_caller}
            return (await it.get("/health", told)).status

        assert [await ask("192.0.2.7") for _ in range(3)] == [200, 200, 429]
        assert [await ask("192.0.2.8") for _ in range(3)] == [200, 200, 429]
    async with site(tmp_path, DeskNode().handlers(), requests_per_s=1) as it:
        told = [{"x-forwarded-for": f"192.0.2.{each}"} for each in range(3)]
        assert [(await it.get("/health", each)).status for each in told] == [200, 200, 429]


async def test_a_trusted_proxy_may_hold_more_connections_than_one_address(tmp_path: Path) -> None:
    for trusted, is_served in ((("127.0.0.1",), True), ((), False)):
        options = {"trusted_proxies": trusted, "connections_per_address_max": 1}
        async with (
            site(tmp_path, DeskNode().handlers(), **options) as it,
            await it.connect() as one,
            await it.connect() as other,
        ):
            assert (await ask(one, "GET", f"{BASE_PATH}/health", {})).status == 200
            status = (await ask(other, "GET", f"{BASE_PATH}/health", {})).status
            assert (status == 200) is is_served


async def test_loopback_is_open_only_where_the_owner_says_so(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it:
        assert (await it.ask("POST", "/invitations")).status == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/tasks/", 404),
        ("GET", "//tasks", 404),
        ("DELETE", "/tasks", 405),
        ("GET", "/invitations", 405),
        ("GET", "/tasks?limit=x", 400),
        ("GET", "/tasks?limit=0", 400),
        ("GET", "/tasks?limit=1&limit=2", 400),
        ("GET", "/tasks?no=1", 400),
        ("GET", "/tasks/%ff", 400),
        ("GET", "/tasks/0000", 404),
        ("GET", "/tasks/xyz", 422),
        ("POST", "/invitations?expires_in_ms=5000", 400),
    ],
)
async def test_what_does_not_fit_is_named_by_its_status(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it:
        answer = await it.ask(method, path)
        assert (answer.status, answer.value["status"]) == (status, status)
        assert set(answer.value) == {"type", "title", "status", "detail", "code", "hint"}
        assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"[" * 9_000,
        b'{"no": 1}',
        b'{"expires_in_ms": "5000"}',
        b"\xff",
        b"1e999",
    ],
)
async def test_a_hostile_body_is_a_bad_request(tmp_path: Path, body: bytes) -> None:
    async with site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it:
        headers = {"content-type": "application/json"}
        assert (await it.ask("POST", "/invitations", headers, body)).status == 400


async def test_a_whole_number_is_an_integer_however_it_is_written(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it:
        headers = {"content-type": "application/json"}
        for body, status in ((b"5000.0", 201), (b"5e3", 201), (b"5000.5", 400), (b'"5000"', 400)):
            told = b'{"expires_in_ms": %s}' % body
            assert (await it.ask("POST", "/invitations", headers, told)).status == status


def test_a_whole_number_beside_a_path_is_an_integer_however_it_is_written() -> None:
    row = OPERATIONS["task.material"]  # found by the prober with seed 5
    assert bind(row, {"task": "abcd"}, "", b'{"item": 185.0}').item == 185
    with pytest.raises(OperationError, match="`item` must be a whole number"):
        bind(row, {"task": "abcd"}, "", b'{"item": 185.5}')


@pytest.mark.parametrize("field", ["deadline_ms", "price_msat_per_mgas", "attempts_max"])
async def test_a_number_that_no_record_holds_is_refused_at_once(tmp_path: Path, field: str) -> None:
    async with site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it:
        assert (await it.post("/quotes", {field: 2**53 - 1}, {})).status == 200
        assert (await it.post("/quotes", {field: 2**53}, {})).status == 400


async def test_a_body_of_another_kind_or_size_is_refused(tmp_path: Path) -> None:
    async with site(
        tmp_path, DeskNode().handlers(), open_on_loopback=True, body_bytes_max=1024
    ) as it:
        # What a form of another page can send without asking first.
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            answer = await it.ask("POST", "/invitations", {"content-type": kind}, b"{}")
            assert answer.status == 415
        headers = {"content-type": "application/json"}
        refused = await it.ask("POST", "/tasks", headers, b" " * 1025)
        assert (refused.status, "PUT /api/v1/blobs" in refused.value["hint"]) == (413, True)


async def test_a_get_that_announces_a_body_is_refused_before_any_of_it_comes(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        for announced in (b"content-length: 1000000", b"transfer-encoding: chunked"):
            async with await it.connect() as stream:
                path = f"{BASE_PATH}/health".encode()
                await stream.send_all(
                    b"GET %s HTTP/1.1\r\nhost: localhost\r\n%s\r\n\r\n" % (path, announced)
                )
                assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 400 ")


async def test_a_body_of_very_many_values_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it:
        headers = {"content-type": "application/json"}
        for values in (
            b'"",' * 5_000 + b'""',
            b"[" * 900 + b"]" * 900 + b",[]" * 5_000,
            b"{}," * 5_000,
        ):
            body = b'{"priority": 0.5, "constraints": [%s]}' % values
            answer = await it.ask("POST", "/quotes", headers, body)
            assert (answer.status, "4096 values" in answer.value["detail"]) == (400, True)


async def test_a_body_of_many_values_is_refused_before_all_of_it_has_come(tmp_path: Path) -> None:
    async with (
        site(tmp_path, DeskNode().handlers(), open_on_loopback=True) as it,
        await it.connect() as stream,
    ):
        await stream.send_all(
            b"POST %s/quotes HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 10000000\r\n\r\n" % BASE_PATH.encode()
        )
        await stream.send_all(b"," * 10_000)
        assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 400 ")


async def test_callers_that_come_at_once_are_answered_in_passes_of_their_own(
    tmp_path: Path,
) -> None:
    desk, passes, begun = DeskNode(), 0, []

    async def ping(_: requests.Ping) -> replies.Pong:
        begun.append(passes)
        return replies.Pong(version="", now_ms=0)

    async def count() -> None:
        nonlocal passes
        while True:
            passes += 1
            await trio.lowlevel.checkpoint()

    asked = f"GET {BASE_PATH}/health HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    handlers = {**desk.handlers(), "ping": ping}
    async with site(tmp_path, handlers) as it, trio.open_nursery() as nursery:
        streams = [await it.connect() for _ in range(20)]
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(count)
        for stream in streams:
            os.write(stream.socket.fileno(), asked)  # all before the loop comes to any of them
        for stream in streams:
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 200 ")
            await stream.aclose()
        nursery.cancel_scope.cancel()
    # The order within a pass is chance, so the count may come before one and after the next.
    assert len(begun) == 20
    assert max(Counter(begun).values()) <= 2


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers(), requests_per_s=1) as it:
        statuses = [(await it.get("/health")).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await it.get("/health")).headers["retry-after"] == "1"


async def test_a_caller_that_leaves_ends_what_it_waited_for(tmp_path: Path) -> None:
    desk = DeskNode()
    begun, ended = trio.Event(), trio.Event()

    async def wait(_: requests.WaitForTask) -> None:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    handlers: dict[str, Any] = {**desk.handlers(), "task.wait": wait}
    async with site(tmp_path, handlers, open_on_loopback=True) as it:
        stream = await it.connect()
        await stream.send_all(
            b"GET %s/tasks/00/wait HTTP/1.1\r\nHost: localhost\r\n\r\n" % BASE_PATH.encode()
        )
        await begun.wait()
        await stream.aclose()
        await ended.wait()


async def test_a_bug_in_a_handler_tells_nothing_of_its_inside(tmp_path: Path) -> None:
    async def broken(_: requests.GetStatus) -> None:
        raise RuntimeError("the secret")

    handlers: dict[str, Any] = {**DeskNode().handlers(), "status": broken}
    async with site(tmp_path, handlers, open_on_loopback=True) as it:
        answer = await it.get("/status")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert (await it.get("/health")).status == 200


def test_every_operation_has_a_place_of_its_own_under_a_method_that_fits() -> None:
    routes = Routes(OPERATIONS.values())
    for row in OPERATIONS.values():
        path = BASE_PATH + "/".join(
            "x" if part.startswith("{") else part for part in row.route.path.split("/")
        )
        assert routes.find(row.route.method, path)[0] is row
        assert row.route.summary[:1].islower()
        assert set(row.route.parameters) <= set(row.request.__struct_fields__)
        assert row.route.raw in {"", *row.response.__struct_fields__}
        assert row.route.names in {"", *row.request.__struct_fields__}
        is_change = row.route.scope not in {Scope.OPEN, Scope.READ}
        assert is_change <= (row.route.method is not Method.GET)


async def test_a_request_under_an_idempotency_key_is_done_once(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        key = {**token, "idempotency-key": "order-7"}
        task = a_task(nonce=b"")
        first, again = [await it.post("/tasks", task, key) for _ in range(2)]
        assert first.value["task_id"] == again.value["task_id"]
        assert (first.value["known"], again.value["known"]) == (False, True)
        other = await it.post("/tasks", a_task(b"other", nonce=b""), key)
        assert (other.status, other.value["code"]) == (422, "reused_key")
        theirs = {**it.token(Scope.SUBMIT), "idempotency-key": "order-7"}
        assert (await it.post("/tasks", task, theirs)).value["task_id"] != first.value["task_id"]
        assert (await it.post("/tasks", a_task(), key)).status == 422


async def test_the_same_request_is_the_same_in_another_order_and_spacing(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        told = {**it.token(Scope.SUBMIT), "idempotency-key": "one"}
        told["content-type"] = "application/json"
        module, data = (base64.b64encode(each).decode() for each in (ECHO, b"hello"))
        answers = [
            await it.ask("POST", "/tasks", told, body.encode())
            for body in (
                f'{{"module":"{module}","input":"{data}","replicas":2}}',
                f'{{ "replicas": 2.0,\n"\\u0069nput": "{data}",\n"module": "{module}" }}',
                f'{{"module":"{module}","input":"{data}","replicas":2,"priority":4}}',
                f'{{"module":"{module}","input":"{data}","replicas":1}}',
            )
        ]
        assert [each.status for each in answers] == [201, 201, 201, 422], answers
        assert len({each.value["task_id"] for each in answers[:3]}) == 1


async def test_events_are_followed_and_gone_on_with_after_a_break(tmp_path: Path) -> None:
    told = trio.Event()

    async def happen(_: requests.FollowEvents) -> AsyncIterator[replies.Event]:
        for number in range(3):
            if number == 2:
                await told.wait()
            fields: dict[str, Any] = {"task": f"{number}" * 64}
            yield replies.Event(time_ms=number, kind="task_ended", text="x", fields=fields)
        await trio.sleep_forever()

    handlers: dict[str, Any] = {**DeskNode().handlers(), "events": happen}
    async with site(tmp_path, handlers, open_on_loopback=True) as it:
        life = await first_id(it, "0-0")
        assert life is None, "the ids of another life are lost"
        async with await follow(it, "?tasks=2222", "") as stream:
            text = await stream.receive_some(4096)
            told.set()
            while b"task_ended" not in text:
                text += await stream.receive_some(4096)
        assert b'"2222' in text
        name = text.partition(b"id: ")[2].partition(b"\n")[0].decode()
        assert name.endswith("-2")
        assert await first_id(it, name.replace("-2", "-0")) == name.replace("-2", "-1")
        assert await first_id(it, name.replace("-2", "-9")) is None


async def test_a_revoked_token_ends_the_stream_that_it_opened(tmp_path: Path) -> None:
    revoked = trio.Event()

    async def happen(_: requests.FollowEvents) -> AsyncIterator[replies.Event]:
        await revoked.wait()
        yield replies.Event(time_ms=0, kind="task_ended", text="a secret", fields={})
        await trio.sleep_forever()

    handlers: dict[str, Any] = {**DeskNode().handlers(), "events": happen}
    async with site(tmp_path, handlers) as it, await it.connect() as stream:
        words = it.token(Scope.READ)["authorization"]
        head = (
            f"GET {BASE_PATH}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {words}\r\n\r\n"
        )
        await stream.send_all(head.encode())
        found = await stream.receive_some(4096)
        it.tokens.unlink()
        revoked.set()
        while not found.endswith(b"0\r\n\r\n"):
            found += await stream.receive_some(4096)
        assert b"secret" not in found


async def follow(it: Site, query: str, last: str) -> trio.SocketStream:
    stream = await it.connect()
    head = f"GET {BASE_PATH}/events{query} HTTP/1.1\r\nHost: localhost\r\n"
    await stream.send_all(f"{head}Last-Event-ID: {last}\r\n\r\n".encode())
    return stream


async def first_id(it: Site, last: str) -> str | None:
    """Give the id of the first event after `last`, or nothing when it says that events are lost."""
    stream, text = await follow(it, "", last), b""
    async with stream:
        while b"\n\n" not in text.partition(b"\r\n\r\n")[2].replace(b": still here\n\n", b""):
            text += await stream.receive_some(4096)
    if b"event: lost" in text:
        return None
    return text.partition(b"id: ")[2].partition(b"\n")[0].decode()


def test_a_daemon_without_http_loads_nothing_of_it() -> None:
    script = "import sys, ambientd.daemon.front_desk; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = out.stdout.split()
    assert "ambientd.api.desk" in loaded
    assert not [name for name in loaded if "rest" in name.split(".") or name == "h11"]


async def test_who_takes_a_large_answer_slowly_gives_its_place_to_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "GRACE_S", 0.1)
    large = b"x" * 8_000_000
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        task = await submitted(it, token, large)
        raw = {**token, "accept": "application/octet-stream"}
        words = f"GET {BASE_PATH}/tasks/{task}/output HTTP/1.1\r\nHost: localhost\r\n"
        words += f"Authorization: {token['authorization']}\r\n\r\n"
        silent = [await it.connect() for _ in range(downloads.AT_ONCE)]
        for stream in silent:
            await stream.send_all(words.encode())
            await stream.receive_some(1)
        with trio.fail_after(60):
            came = await it.get(f"/tasks/{task}/output", raw)
        assert (came.status, came.body == large) == (200, True)
        assert came.headers["content-length"] == str(len(large))
        small = await it.get(f"/tasks/{task}/output", {**raw, "range": "bytes=5-9"})
        assert (small.status, small.body) == (206, b"xxxxx")
        for stream in silent:
            await stream.aclose()


async def test_few_large_answers_are_in_memory_at_once_and_places_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "DOWNLOAD_WAIT_S", 0.2)
    large = b"x" * 8_000_000
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        task = await submitted(it, token, large)
        ask_for = f"GET {BASE_PATH}/tasks/{task}/output HTTP/1.1\r\nHost: localhost\r\n"
        words = ask_for + f"Authorization: {token['authorization']}\r\n\r\n"
        silent = [await it.connect() for _ in range(downloads.AT_ONCE)]
        for stream in silent:
            await stream.send_all(words.encode())
            await stream.receive_some(1)
        busy = await it.get(f"/tasks/{task}/output", token)
        assert (busy.status, busy.value["detail"].endswith("something large")) == (503, True)
        for stream in silent:
            await stream.aclose()
        with trio.fail_after(60):
            while (await it.get(f"/tasks/{task}/output", token)).status != 200:
                await trio.lowlevel.checkpoint()
