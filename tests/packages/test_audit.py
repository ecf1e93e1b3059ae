"""The audit of dependencies: what could not be asked about was not audited, and fails it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.missing import missing

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv" / "tools"
COMMAND = re.search(
    r"^\t(\$\(TOOLS\)/bin/pip-audit .*) -r (\S+)$",
    (ROOT / "Makefile").read_text("utf-8"),
    re.MULTILINE,
)


def test_everything_that_is_pinned_for_the_daemon_and_its_tests_is_asked_about() -> None:
    assert COMMAND
    assert "--strict" in COMMAND[1].split(), "else a package that PyPI does not know passes"
    named = re.compile(r"^([\w.-]+==[^ ;]+)", re.MULTILINE)
    asked = set(named.findall((ROOT / COMMAND[2]).read_text()))
    runtime = set(named.findall((ROOT / "requirements" / "runtime.txt").read_text()))
    assert runtime
    assert runtime <= asked


@pytest.mark.slow
def test_an_audit_that_reaches_nobody_fails(tmp_path: Path) -> None:
    assert COMMAND
    if not (TOOLS / "bin" / "pip-audit").exists():
        missing("pip-audit is missing: make check-wheel sets it up")
    asked = tmp_path / "requirements.txt"
    asked.write_text(f"msgspec==0.19.0 --hash=sha256:{'0' * 64}\n")
    words = COMMAND[1].replace("$(TOOLS)", str(TOOLS)).split()
    nobody = {"HTTPS_PROXY": "http://127.0.0.1:1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [*words, "--cache-dir", str(tmp_path / "cache"), "-r", str(asked)],
        env=kept | nobody,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr
    assert "No known vulnerabilities" not in done.stdout + done.stderr
