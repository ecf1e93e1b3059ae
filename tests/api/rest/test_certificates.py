"""Callers that show a TLS certificate: what its name allows, and where it is named."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ambientd.adapters.trail_files import TrailFiles, read_trail
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token, revoke_token
from ambientd.api.trail_keeping import TrailKeeper, trailed
from tests.adapters.test_http_server import certify
from tests.api.rest.support import Answer, Site, ask, site
from tests.fakes.desk_node import NOW_MS, DeskNode

pytestmark = pytest.mark.net


class Hall:
    """A front end over TLS that asks for certificates, and callers who have some."""

    def __init__(self, folder: Path, it: Site) -> None:
        self._folder = folder
        self.it = it

    def allow(self, name: str, scope: Scope) -> str:
        token, _ = create_token(self.it.tokens, name, scope, NOW_MS, 0, certificate=name)
        return token.id

    async def ask(
        self, name: str, method: str, path: str, headers: dict[str, str] | None = None
    ) -> Answer:
        context = ssl.create_default_context(cafile=str(self._folder / "authority.pem"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_cert_chain(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        async with trio.SSLStream(
            await self.it.connect(), context, server_hostname="localhost", https_compatible=True
        ) as stream:
            return await ask(stream, method, BASE_PATH + path, headers or {})


@asynccontextmanager
async def hall(folder: Path, **options: int) -> AsyncIterator[Hall]:
    authority = certify(folder, "authority", None)
    for name in ("node", "laptop", "guest"):
        certify(folder, name, authority)
    files = {"tls_cert": "node.pem", "tls_key": "node.key", "tls_client_ca": "authority.pem"}
    keeper = TrailKeeper(TrailFiles(folder / "told"), lambda: NOW_MS)
    handlers = trailed(DeskNode().handlers(), keeper)
    async with site(folder, handlers, **files, **options) as it:
        yield Hall(folder, it)


async def test_a_certificates_name_is_its_callers_name_for_scope_and_audit_trail(
    tmp_path: Path,
) -> None:
    async with hall(tmp_path) as it:
        assert (await it.ask("laptop", "GET", "/status")).status == 401
        token = it.allow("laptop", Scope.SUBMIT)
        assert (await it.ask("laptop", "GET", "/status")).status == 200
        assert (await it.ask("laptop", "POST", "/invitations")).status == 403
        assert (await it.ask("guest", "GET", "/status")).status == 401
        admin = it.it.token(Scope.ADMIN)
        assert (await it.ask("guest", "POST", "/invitations", admin)).status == 201
        assert (await it.ask("laptop", "POST", "/invitations", admin)).status == 201
        wrong = {"authorization": "Bearer ambient_00_00"}
        assert (await it.ask("laptop", "GET", "/status", wrong)).status == 401
        revoke_token(it.it.tokens, token)
        assert (await it.ask("laptop", "GET", "/status")).status == 401
    shown = admin["authorization"].split("_")[1]
    assert [each.caller for each in read_trail(tmp_path / "told")] == [
        f"token {shown}, certificate guest",
        f"token {shown}, certificate laptop",
    ]
