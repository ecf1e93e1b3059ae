"""What a page would fetch from elsewhere is found, and a site that is not there is no clean one."""

import re
from pathlib import Path

import pytest

from scripts.pages import ENGLISH, INDEX, NEEDED, ROOT, loaded_from_elsewhere

PAGE = '<!doctype html><html xmlns="http://www.w3.org/1999/xhtml"><body>{}</body></html>'
ELSEWHERE = "https://cdn.example/x"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PAGE.format("") if name.endswith(".html") else "")
    (tmp_path / INDEX).write_text(f"var __index = {ENGLISH}")
    return tmp_path


def test_a_link_or_an_anchor_that_leads_nowhere_may_fail_the_build() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [command] = re.findall(r"^\t.*bin/(mkdocs build .*)$", makefile, re.MULTILINE)
    assert "--strict" in command
    assert not re.search(r"--quiet|-q\b", command), "then no warning is counted"
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    for kind in ("anchors", "absolute_links", "unrecognized_links"):
        assert f"\n  {kind}: warn\n" in settings


def test_a_site_that_is_not_there_is_no_clean_one(tmp_path: Path) -> None:
    assert len(loaded_from_elsewhere(tmp_path)) == len(NEEDED)


@pytest.mark.parametrize(
    "part",
    [
        f'<script src="{ELSEWHERE}.js"></script>',
        f"<script defer src={ELSEWHERE}.js></script>",
        '<script src="//cdn.example/x.js"></script>',
        f"<script>fetch('{ELSEWHERE}')</script>",
        f'<link rel="stylesheet" href="{ELSEWHERE}.css">',
        f"<link href='{ELSEWHERE}.woff2' rel='preload'>",
        f'<img src="x.png" srcset="x.png 1x, {ELSEWHERE}.png 2x">',
        f'<img src="{ELSEWHERE}.png">',
        f'<video poster="{ELSEWHERE}.png"></video>',
        f'<object data="{ELSEWHERE}.svg"></object>',
        f'<p style="background: url({ELSEWHERE}.png)"></p>',
        f"<style>@import '{ELSEWHERE}.css';</style>",
        "<style>p { background: url(//cdn.example/x.png) }</style>",
        '<pre class="mermaid">graph</pre>',
    ],
)
def test_what_a_page_loads_from_elsewhere_is_told(site: Path, part: str) -> None:
    (site / "index.html").write_text(PAGE.format(part))
    assert len(loaded_from_elsewhere(site)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.js", f'fetch("{ELSEWHERE}")'),
        ("a.css", f"@import url('{ELSEWHERE}.css');"),
        ("a.css", "p { background: url( //cdn.example/x.png ) }"),
        ("deep/down/a.js", "new WebSocket(`wss://cdn.example/x`)"),
    ],
)
def test_what_scripts_and_styles_load_from_elsewhere_is_told(
    site: Path, name: str, text: str
) -> None:
    (site / name).parent.mkdir(parents=True, exist_ok=True)
    (site / name).write_text(text)
    [told] = loaded_from_elsewhere(site)
    assert told.startswith(f"{name}: ")
    assert "cdn.example" in told


def test_links_that_somebody_may_follow_and_names_load_nothing(site: Path) -> None:
    (site / "index.html").write_text(
        PAGE.format(
            f'<a href="{ELSEWHERE}">there</a> {ELSEWHERE} <code>url({ELSEWHERE})</code>'
            f'<link rel="canonical" href="{ELSEWHERE}"><meta content="{ELSEWHERE}">'
            '<svg xmlns="http://www.w3.org/2000/svg"></svg><img src="../x.png" alt="a, b">'
        )
    )
    (site / INDEX).write_text(f'var __index = {ENGLISH} {{"text": "{ELSEWHERE}"}}')
    drawn = 'data:image/svg+xml;charset=utf-8,<svg xmlns="http://www.w3.org/2000/svg"/>'
    (site / "a.css").write_text(f"p {{ mask: url('{drawn}') }}")
    assert loaded_from_elsewhere(site) == []


def test_scripts_for_another_language_are_asked_for_only_by_an_index_that_has_it(
    site: Path,
) -> None:
    script = site / "assets" / "javascripts" / "lunr" / "tinyseg.js"
    script.parent.mkdir(parents=True)
    script.write_text(f"// {ELSEWHERE}")
    assert loaded_from_elsewhere(site) == []
    (site / INDEX).write_text('var __index = {"config":{"lang":["en","ja"],')
    assert loaded_from_elsewhere(site) == [f"{INDEX}: not in English alone"]
