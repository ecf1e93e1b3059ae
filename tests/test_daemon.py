"""A daemon that cannot start says which line of which file to change."""

import subprocess
import sys
from pathlib import Path

from ambientd.adapters.keys import change_passphrase
from ambientd.config.places import Places
from ambientd.daemon import EXIT_USAGE
from tests.runtime.support import found_cluster

WITHOUT_ENGINES = (
    "from ambientd.adapters import engines; engines.installed_version = lambda _: None"
)


def complaint(folder: Path, line: str, first: str = "") -> str:
    """Start a daemon with another line in its config; give how it complains of its file."""
    found_cluster(folder)
    places = Places(folder / "node1")
    name = line.partition(" ")[0]
    kept = [
        each
        for each in places.config.read_text("utf-8").splitlines()
        if not each.startswith((name, "[execution]"))
    ]
    places.config.write_text("\n".join([*kept, "[execution]", line]), "utf-8")
    program = f"import sys\n{first}\nfrom ambientd.daemon import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "--data-dir", str(folder / "node1")]
    ended = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert ended.returncode == EXIT_USAGE, ended.stderr
    return ended.stderr.partition(f"{places.config}: ")[2]


def test_a_budget_in_which_no_task_fits_is_refused_with_the_least_that_works(
    tmp_path: Path,
) -> None:
    text = complaint(tmp_path, "memory_budget_bytes = 1")
    assert text.startswith("[execution] memory_budget_bytes = 1: no task fits; the least is")


def test_an_engine_that_is_not_here_is_named_with_the_place_that_asks_for_it(
    tmp_path: Path,
) -> None:
    text = complaint(tmp_path, 'engine = "wasmer"', WITHOUT_ENGINES)
    assert text.startswith("[execution] engine = 'wasmer': the engine wasmer is not installed")


def test_a_sealed_key_is_not_guessed_at(tmp_path: Path) -> None:
    found_cluster(tmp_path)
    places, words = Places(tmp_path / "node1"), tmp_path / "words"
    change_passphrase(places.key, "", "correct horse")
    words.write_text("correct hors\n")
    words.chmod(0o600)
    command = [sys.executable, "-m", "ambientd.daemon", "--data-dir", str(places.data_dir)]
    for options, reason in (
        ([], f"{places.key} is sealed: give its passphrase with --passphrase-file FILE"),
        (["--passphrase-file", str(words)], f"the passphrase does not open {places.key}"),
    ):
        ended = subprocess.run(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            text=True,
        )
        assert (ended.returncode, reason in ended.stderr) == (EXIT_USAGE, True), ended.stderr


def test_a_crash_leaves_no_keys_in_a_file(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from ambientd.daemon import main\n"
        "ended = main(['--data-dir', sys.argv[1]])\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
        "sys.exit(ended)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "none")]
    ended = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert (ended.returncode, ended.stdout) == (EXIT_USAGE, "0\n")
