"""The manual pages: every command and option is in them, and roff can read them."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.grammar import grammar_of
from ambientd.cli.parser import EXIT_CODES, build_parser
from scripts.manual import pages
from tests.missing import missing

ROOT = Path(__file__).parent.parent.parent
PAGES = pages()


def test_every_command_has_a_page_with_all_its_options() -> None:
    program = grammar_of(build_parser())
    for command in program.commands:
        page = PAGES[f"{'-'.join(command.path)}.1"].replace("\\-", "-")
        assert f"{'-'.join(command.path)}" in PAGES["ambientctl.1"].replace("\\-", "-")
        for leaf in command.leaves():
            assert f"\\fB{leaf.name}\\fR" in page
            for option in leaf.options:
                assert all(f"\\fB{name}\\fR" in page for name in option.names)


def test_the_exit_codes_are_those_of_the_program() -> None:
    assert [code for code, _ in EXIT_CODES] == list(map(int, ExitCode))


def test_roff_reads_every_page_without_a_warning(tmp_path: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        missing("groff is not here")
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text)
    files = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([groff, "-man", "-ww", "-z", *files], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_the_wheel_brings_the_pages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    inside = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "/man1/" in name}
    assert inside == set(PAGES)
