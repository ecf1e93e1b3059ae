"""What every change must pass: steps that go beside others are shown, and count."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.tally import main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".ci" / "run").read_text("utf-8")
FUNCTIONS = re.findall(r"^declare -A beside.*?^trap [^\n]*\n", TEXT, re.MULTILINE | re.DOTALL)


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    for made in ("build", ".venv/bin"):
        (folder / made).mkdir(parents=True)
    (folder / "scripts").symlink_to(ROOT / "scripts")
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    words = ["bash", "-c", f"set -euo pipefail\n{FUNCTIONS[0]}{script}"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=30)


def without_count(done: subprocess.CompletedProcess[str]) -> str:
    """Give what a run printed before the lines about tests, which come last where it failed."""
    return re.sub(r"(?:build/\w+\.log: .*\n)*\d+ passed, .*\n\Z", "", done.stdout)


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
    assert without_count(done) == "first\nseen\n" + ("" if code else "went on\n")


def test_a_failure_inside_a_step_beside_others_is_not_gone_past(tmp_path: Path) -> None:
    done = run(tmp_path, "aside() { false\necho further; }\nbegin aside\nawait aside")
    assert (done.returncode, without_count(done)) == (1, "")


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
    assert (done.returncode, without_count(done)) == (3, "worlds\nworlds\n")
    assert '  tail --pid="${beside[worlds]}" -f /dev/null\n' in TEXT


def test_a_run_that_fails_shows_what_has_failed_beside_it(tmp_path: Path) -> None:
    script = """worlds() { echo broken; : > ready; exit 3; }
begin worlds
until test -e ready; do :; done
echo suite; false
await worlds"""
    done = run(tmp_path, script)
    assert done.returncode == 1
    assert without_count(done) == "suite\n\n== worlds, as far as it came\nbroken\n"


def test_the_last_line_of_a_run_says_how_many_tests_there_were(tmp_path: Path) -> None:
    suite, browser = "1 failed, 7 passed, 2 skipped in 3.21s", "40 passed in 100.10s (0:01:40)"
    script = f"""echo '{suite}' > build/suite.log
echo '{browser}' > build/browser.log
"""
    for folder, end, code in (("failed", "false", 1), ("counted", "count", 1)):
        (tmp_path / folder).mkdir()
        done = run(tmp_path / folder, script + end)
        assert done.returncode == code
        assert done.stdout.splitlines()[-1] == "47 passed, 1 failed, 2 skipped"
    assert TEXT.endswith('step "done"\ncount\n')
    assert TEXT.count("| tee build/suite.log\n") == TEXT.count("| tee build/browser.log\n") == 1


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (["11143 passed, 4 skipped in 1284.97s (0:21:24)"], 0, "11143 passed, 0 failed, 4 skipped"),
        (["3 passed in 0.10s", "== 1 passed, 2 warnings in 0.52s =="], 0, "4 passed"),
        (["\x1b[32m\x1b[1m9 passed\x1b[0m\x1b[32m in 1.15s\x1b[0m"], 0, "9 passed"),
        (["2 passed, 1 error in 0.10s"], 1, "2 passed, 1 failed, 0 skipped"),
        (["no tests ran in 0.01s"], 1, "0 passed"),
        (["9 passed, 2 rerun in 8.00s", "5 passed, 1 rerun in 0.10s"], 0, "14 passed, 0 failed"),
        (["9 passed, 2 rerun in 8.00s", "5 passed, 2 rerun in 0.10s"], 1, "14 passed, 0 failed"),
        (["5 skipped in 0.10s"], 1, "0 passed, 0 failed, 5 skipped"),
        (["5 passed in 0.10s", "...... [  3%]"], 1, "5 passed"),
        (["5 passed in 0.10s", None], 1, "5 passed"),
    ],
)
def test_only_a_suite_that_came_to_its_end_and_passed_counts_as_one(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    said: list[str | None],
    code: int,
    told: str,
) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(len(said))]
    for log, line in zip(logs, said, strict=True):
        if line is not None:
            log.write_text(f".....F [100%]\n{line}\nmake: *** [test] Error 1\n")
    assert main([str(log) for log in logs]) == code
    assert capsys.readouterr().out.splitlines()[-1].startswith(told)


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
        assert without_count(done).splitlines() == asked[: 3 if code == 0 else 2]


def test_a_run_that_fails_leaves_no_step_behind(tmp_path: Path) -> None:
    # It holds the run's own output open: whoever reads that is done only when it has ended.
    script = """exec 3>&1
aside() { sh -c ': > ready; exec sleep 600'; }
begin aside
until test -e ready; do :; done
false"""
    assert run(tmp_path, script).returncode == 1
