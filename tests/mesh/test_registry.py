"""One node publishes a module, another runs it by its name, from the command line and Python."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.cli.main import main
from ambientd.client import Mesh
from ambientd.errors import AmbientError
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster
from tests.modules import compiled

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

MODULE_TOML = """
name = "echo"
version = "1.0.0"
summary = "gives back what it is given"
licence = "MIT"
price_msat_per_mgas = 3

[limits]
gas_max = 2_000_000
memory_bytes_max = 1_048_576
wall_ms_max = 20_000
output_bytes_max = 4_096
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "pair", 2, ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100)))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_a_module_is_published_on_one_node_and_run_by_name_on_another(
    pair: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = pair.daemons
    wasm, toml, given = (tmp_path / name for name in ("echo.wasm", "module.toml", "given"))
    wasm.write_bytes(compiled.module("echo"))
    toml.write_text(MODULE_TOML)
    given.write_bytes(b"to be echoed")

    def ctl(folder: Path, *words: str | Path) -> tuple[int, str, str]:
        code = main([*map(str, words), "--data-dir", str(folder)])
        return code, *capfd.readouterr()

    said = (wasm, "--manifest", toml, "--sandbox", "best-effort", "--yes")
    code, out, err = ctl(first.data_dir, "module", "publish", *said)
    assert (code, "/echo@1.0.0 is published" in out) == (0, True), err
    pair.until(
        lambda: "node1" in ctl(second.data_dir, "module", "search", "given")[1],
        "the other node to list it",
    )
    code, out, err = ctl(second.data_dir, "module", "show", "node1/echo")
    assert (code, "not on this device" in out, "3 msat for a million gas" in out) == (0, True, True)
    run = ("run", "node1/echo@1.0.0", "--input", given, "--assurance", "none", "--yes")
    code, out, err = ctl(second.data_dir, *run)
    assert (code, out) == (0, "to be echoed"), err
    assert "sha256: " in err
    assert "3 msat for a million gas is advised" in err
    assert ctl(second.data_dir, "module", "pin", "node1/echo@1.0.0")[0] == 0
    assert '"written": "node1"' in (second.data_dir / "modules.lock").read_text()
    yank = ("module", "yank", "node1/echo@1.0.0", "--reason", "echoes too much", "--yes")
    assert ctl(first.data_dir, *yank)[0] == 0
    with Mesh(second.data_dir) as mesh:
        module = mesh.module("node1/echo@1.0.0")
        assert (module.pinned, module.here) == (True, True)
        assert mesh.run(module, b"and again", assurance="none").output() == b"and again"
        with pytest.raises(AmbientError, match="newest is"):
            mesh.module("node1/echo@1.0.1")
