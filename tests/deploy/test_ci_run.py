"""What every change must pass: steps that go beside others are shown, and count."""

import re
import subprocess
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / ".ci" / "run").read_text("utf-8")
FUNCTIONS = re.findall(r"^declare -A beside.*?^trap [^\n]*\n", TEXT, re.MULTILINE | re.DOTALL)


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    (folder / "build").mkdir()
    words = ["bash", "-c", f"set -euo pipefail\n{FUNCTIONS[0]}{script}"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=30)


def test_what_goes_beside_is_awaited() -> None:
    begun, awaited = (
        re.findall(rf"^{word} (\w+)$", TEXT, re.MULTILINE) for word in ("begin", "await")
    )
    assert begun
    assert sorted(begun) == sorted(awaited)
    assert all(TEXT.count(f"\n{name}() {{\n") == 1 for name in begun)


@pytest.mark.parametrize(("end", "code"), [("true", 0), ("false", 1), ("exit 7", 7)])
def test_a_step_beside_others_is_shown_and_its_failure_fails_the_run(
    tmp_path: Path, end: str, code: int
) -> None:
    script = f"aside() {{ echo seen; {end}; }}\nbegin aside\necho first\nawait aside\necho went on"
    done = run(tmp_path, script)
    assert done.returncode == code
    assert done.stdout == "first\nseen\n" + ("" if code else "went on\n")


def test_a_failure_inside_a_step_beside_others_is_not_gone_past(tmp_path: Path) -> None:
    done = run(tmp_path, "aside() { false\necho further; }\nbegin aside\nawait aside")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_step_beside_others_can_go_after_another_one(tmp_path: Path) -> None:
    script = """worlds() { read -r < go; echo worlds; exit 3; }
aside() { tail --pid="${beside[worlds]}" -s 0.05 -f /dev/null; cat build/beside-worlds.log; }
mkfifo go
begin worlds
begin aside
echo > go
await aside
await worlds"""
    done = run(tmp_path, script)
    assert (done.returncode, done.stdout) == (3, "worlds\nworlds\n")
    assert '  tail --pid="${beside[worlds]}" -f /dev/null\n' in TEXT


def test_a_run_that_fails_shows_what_has_failed_beside_it(tmp_path: Path) -> None:
    script = """worlds() { echo broken; : > ready; exit 3; }
begin worlds
until test -e ready; do :; done
echo suite; false
await worlds"""
    done = run(tmp_path, script)
    assert done.returncode == 1
    assert done.stdout == "suite\n\n== worlds, as far as it came\nbroken\n"


def test_what_a_machine_has_not_is_looked_up_anew_and_a_failure_counts(tmp_path: Path) -> None:
    [fetch] = re.findall(r"^fetch\(\) \{.*?^\}\n", TEXT, re.MULTILINE | re.DOTALL)
    for knows, code in (("true", 0), ("false", 100)):
        script = f"""{fetch}apt-get() {{
  echo "$1 ${{!#}}"
  if [[ $1 == update ]]; then {knows} && : > lists || return 100; else test -e lists; fi
}}
false || fetch chromium
"""
        folder = tmp_path / knows
        folder.mkdir()
        done = run(folder, script)
        assert done.returncode == code
        asked = ["install chromium", "update -q", "install chromium"]
        assert done.stdout.splitlines() == asked[: 3 if code == 0 else 2]


def test_a_run_that_fails_leaves_no_step_behind(tmp_path: Path) -> None:
    # It holds the run's own output open: whoever reads that is done only when it has ended.
    script = """exec 3>&1
aside() { sh -c ': > ready; exec sleep 600'; }
begin aside
until test -e ready; do :; done
false"""
    assert run(tmp_path, script).returncode == 1
