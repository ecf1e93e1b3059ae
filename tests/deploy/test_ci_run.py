"""What every change must pass: steps that go beside others are shown, and count."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.tally import NAMED, main, unnamed

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
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)


def without_count(done: subprocess.CompletedProcess[str]) -> str:
    """Give what a run printed before the lines about tests, which come last where it failed."""
    return re.sub(r"(?:build/\w+\.log: .*\n)*\d+ passed, .*\n\Z", "", done.stdout)


def test_a_run_lets_python_keep_what_it_has_compiled() -> None:
    """Where it may not, every daemon of a test compiles all of its modules at its start."""
    assert "\nunset PYTHONDONTWRITEBYTECODE\n" in TEXT.partition('\nstep "set up"\n')[0]


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
        (["11143 passed in 1284.97s (0:21:24)"], 0, "11143 passed, 0 failed, 0 skipped"),
        (["11143 passed, 4 skipped in 4.97s"], 1, "11143 passed, 0 failed, 4 skipped"),
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


MAY_BE = ["tests/a.py", "tests/b.py::TestIt", "tests/c.py::test_it"]


@pytest.mark.parametrize(
    ("skipped", "wrong"),
    [
        ("tests/a.py - Skipped: no PyTorch", False),
        ("tests/a.py::test_one[x y] - no", False),
        ("tests/b.py::TestIt::test_one - no", False),
        ("tests/c.py::test_it[1] - no", False),
        ("tests/c.py::test_it - no", False),
        ("tests/c.py::test_it_not - no", True),
        ("tests/b.py::TestItNot::test_one - no", True),
        ("tests/b.py - Skipped: no", True),
        ("tests/aa.py::test_one - no", True),
    ],
)
def test_what_is_skipped_and_not_named_is_told(skipped: str, wrong: bool) -> None:
    text = f"====== short test summary info ======\nSKIPPED {skipped}\n"
    assert unnamed(text, 1, MAY_BE) == ([skipped] if wrong else [])


def test_a_skip_that_the_log_does_not_name_is_told() -> None:
    [line] = unnamed("SKIPPED tests/a.py - no\n", 2, MAY_BE)
    assert line.startswith("2 tests, of which pytest named 1")


def test_a_run_fails_in_which_a_test_was_skipped_that_nobody_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(iter(tomllib.loads(NAMED.read_text("utf-8"))["everywhere"]))
    log = tmp_path / "log"
    for skipped, code in ((first, 0), ("tests/deploy/test_ci_run.py::test_new", 1)):
        log.write_text(f"SKIPPED {skipped} - for a reason\n3 passed, 1 skipped in 0.10s\n")
        assert main([str(log)]) == code
        told = capsys.readouterr().out
        assert told.endswith("3 passed, 0 failed, 1 skipped\n")
        assert (f"not named in tests/skips.toml: {skipped}" in told) is bool(code)


def test_pytest_says_of_each_skip_what_the_tally_reads(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', ['a b'])\n"
        "def test_it(x): pytest.skip('why')\ndef test_other(): pass\n"
    )
    words = ["-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", f"-c{ROOT / 'pyproject.toml'}"]
    command = [sys.executable, "-m", "pytest", *words, str(tmp_path / "test_it.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    [told] = unnamed(done.stdout, 1, [])
    assert told.endswith("::test_it[a b] - Skipped: why")


def test_whatever_may_be_skipped_is_there_and_has_its_reason() -> None:
    listed = tomllib.loads(NAMED.read_text("utf-8"))
    assert set(listed) <= {"everywhere", "aarch64"}
    for name, why in (each for names in listed.values() for each in names.items()):
        file, _, inside = name.partition("::")
        text = (ROOT / file).read_text("utf-8")
        assert not inside or re.search(rf"^(?:class|(?:async )?def) {inside}\b", text, re.MULTILINE)
        assert len(why.split()) > 5, name


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


def test_a_run_repeats_once_what_starts_daemons_and_never_what_a_promise_of_safety_is_held_to(
    tmp_path: Path,
) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text("utf-8"))
    (tmp_path / "test_it.py").write_text(
        "import pytest\ntried = set()\n"
        "def first(name):\n    new = name not in tried\n    tried.add(name)\n    return new\n"
        "@pytest.mark.mesh\ndef test_late(): assert not first('late')\n"
        "@pytest.mark.mesh\ndef test_wrong(): raise AssertionError\n"
        "@pytest.mark.mesh\n@pytest.mark.once\ndef test_safe(): assert not first('safe')\n"
        "def test_core(): assert not first('core')\n"
    )
    words = ["-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", f"-c{ROOT / 'pyproject.toml'}"]
    command = [sys.executable, "-m", "pytest", *words, str(tmp_path / "test_it.py")]
    for repeats, told in (("1", "3 failed, 1 passed, 2 rerun"), ("", "4 failed")):
        environment = {**os.environ, "AMBIENT_REPEATS": repeats}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert told in done.stdout
    for path in ("chaos/test_chaos.py", "fuzz/test_live.py", "mesh/test_full_disk.py"):
        assert "pytest.mark.once" in (ROOT / "tests" / path).read_text("utf-8")
