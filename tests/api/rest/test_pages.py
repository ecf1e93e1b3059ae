"""The dashboard's files, as a browser asks for them."""

import gzip
from pathlib import Path

import pytest

from ambientd.api.rest.pages import Pages, _page, built_pages
from ambientd.ports.http import Caller, HttpAnswer, HttpRequest
from tests.api.rest.support import site
from tests.fakes.desk_node import DeskNode

SCRIPT = b"console.log(1)"
PAGES = Pages(
    {
        path: _page(path, data)
        for path, data in {
            "/index.html": b"<!doctype html>",
            "/verify.html": b"<script>1</script>",
            "/assets/main-abc.js": SCRIPT,
        }.items()
    }
)


def asked(path: str, method: str = "GET", **headers: str) -> HttpAnswer | None:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    request = HttpRequest(method, path, "", named, Caller("::1"), upload=None)  # type: ignore[arg-type]
    return PAGES.find(request)


def headers(answer: HttpAnswer | None) -> dict[str, str]:
    assert answer is not None
    return dict(answer.headers)


def test_the_root_is_the_index_and_nothing_else_is_guessed() -> None:
    index = asked("/")
    assert index is not None
    assert index.body == b"<!doctype html>"
    assert asked("/index.html") == index
    for path in ("/assets", "/assets/", "//index.html", "/../index.html", "/api/v1/status", ""):
        assert asked(path) is None
    assert asked("/", method="POST") is None


def test_a_browser_that_takes_gzip_gets_it() -> None:
    answer = asked("/assets/main-abc.js", accept_encoding="br, gzip")
    assert answer is not None
    assert isinstance(answer.body, bytes)
    assert gzip.decompress(answer.body) == SCRIPT
    assert headers(answer)["content-encoding"] == "gzip"
    plain = asked("/assets/main-abc.js")
    assert plain is not None
    assert plain.body == SCRIPT


def test_what_a_browser_has_already_is_not_sent_again() -> None:
    tag = headers(asked("/"))["etag"]
    again = asked("/", if_none_match=f'"other", {tag}')
    assert again is not None
    assert (again.status, again.body) == (304, b"")
    assert "immutable" in headers(asked("/assets/main-abc.js"))["cache-control"]
    assert headers(asked("/"))["cache-control"] == "no-cache"


def test_pages_run_their_own_scripts_only_and_the_lone_check_asks_nobody() -> None:
    assert "script-src 'self'" in headers(asked("/"))["content-security-policy"]
    assert "connect-src" not in headers(asked("/verify.html"))["content-security-policy"]


@pytest.mark.net
async def test_pages_need_no_token_and_keep_their_policy(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        answer = await it.ask("GET", "/", base="")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await it.get("/status")).status == 401


def test_a_package_without_a_dashboard_says_how_to_build_one() -> None:
    request = HttpRequest("GET", "/", "", [], Caller("::1"), upload=None)  # type: ignore[arg-type]
    answer = built_pages().find(request)
    assert answer is not None
    assert isinstance(answer.body, bytes)
    assert b"Ambient" in answer.body
