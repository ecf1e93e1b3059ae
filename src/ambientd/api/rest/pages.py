"""The dashboard's files, for browsers; there is no secret in them, so no token is asked for."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from ambientd.ports.http import HttpAnswer, HttpRequest

FOLDER = "dashboard"
_INDEX = "/index.html"
_ALONE = "/verify.html"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
_OWN_ONLY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# This page is one file with its script in it, and asks nobody for anything.
_ALONE_ONLY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Ambient</title>
<p>This node answers at <code>/api/v1</code>. Its dashboard was not built, for lack of Node.js 20 or
newer. Where that is, say <code>make dashboard</code> in the sources, or install them again; then
start the node again.</p></html>
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One file, as it is and compressed."""

    data: bytes
    small: bytes
    kind: str
    tag: str
    policy: str
    is_named_by_content: bool


class Pages:
    """All files of the dashboard, in memory."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages

    def find(self, request: HttpRequest) -> HttpAnswer | None:
        """Give a file, if a browser asks for one."""
        page = self._pages.get(_INDEX if request.path == "/" else request.path)
        if page is None or request.method != "GET":
            return None
        keep = "public, max-age=31536000, immutable" if page.is_named_by_content else "no-cache"
        headers = [
            ("cache-control", keep),
            ("content-security-policy", page.policy),
            ("content-type", page.kind),
            ("etag", page.tag),
            ("vary", "accept-encoding"),
        ]
        if page.tag in [each.strip() for each in request.first("if-none-match").split(",")]:
            return HttpAnswer(304, b"", headers)
        if "gzip" not in request.first("accept-encoding"):
            return HttpAnswer(200, page.data, headers)
        return HttpAnswer(200, page.small, [*headers, ("content-encoding", "gzip")])


def is_built() -> bool:
    """Say whether this install has the dashboard."""
    return (resources.files("ambientd") / FOLDER / _INDEX[1:]).is_file()


def built_pages() -> Pages:
    """Read the dashboard out of the package, or say in one page that it is not there."""
    folder = resources.files("ambientd") / FOLDER
    files = _below(folder, "/") if folder.is_dir() else {}
    files.setdefault(_INDEX, _NOT_BUILT)
    return Pages({path: _page(path, data) for path, data in files.items()})


def _below(folder: Traversable, prefix: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for each in folder.iterdir():
        if each.is_dir():
            found |= _below(each, f"{prefix}{each.name}/")
        elif each.name.rpartition(".")[2] in _TYPES:
            found[prefix + each.name] = each.read_bytes()
    return found


def _page(path: str, data: bytes) -> Page:
    return Page(
        data=data,
        small=gzip.compress(data, mtime=0),
        kind=_TYPES[path.rpartition(".")[2]],
        tag=f'"{hashlib.sha256(data).hexdigest()[:32]}"',
        policy=_ALONE_ONLY if path == _ALONE else _OWN_ONLY,
        is_named_by_content=path.startswith("/assets/"),
    )
