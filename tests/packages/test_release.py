"""A release: the changelog out of its fragments, the version wherever it is kept."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.release import (
    ENGINES_IN,
    KEPT_IN,
    NATIVE_IN,
    ROOT,
    SUMS,
    ReleaseError,
    check_tag,
    fragments,
    numbers,
    release,
    sums,
    version_of,
)


def tree(folder: Path, **pieces: str) -> Path:
    """Copy what keeps the version, beside fragments by the name of their file."""
    for name, _ in (*KEPT_IN, *NATIVE_IN):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "changelog.d").mkdir()
    (folder / "changelog.d" / "README.md").write_text("what this is")
    for name, text in pieces.items():
        (folder / "changelog.d" / f"{name.replace('__', '.')}.md").write_text(text)
    return folder


def test_this_tree_tells_one_version_and_every_fragment_says_its_kind() -> None:
    assert numbers(version_of(ROOT))
    # A release has just been made where there is nothing new to tell.
    assert any(fragments(ROOT).values()) or (ROOT / "CHANGELOG.md").exists()


def test_this_tree_has_sums_of_its_packages_with_and_without_the_engines(tmp_path: Path) -> None:
    root, version = tree(tmp_path, a__added="All of it."), version_of(ROOT)
    engines = version_of(ROOT, ENGINES_IN)
    packages = fill(root, f"ambientd-{version}-py3-none-any.whl", f"ambientd-{version}.tar.gz")
    assert len(sums(root)) == 4
    (packages / f"ambientd_engines-{engines}-cp311-abi3-manylinux_2_34_x86_64.whl").touch()
    assert len(sums(root)) == 5
    (packages / "ambientd_engines-0.0.1-cp311-abi3-manylinux_2_34_x86_64.whl").touch()
    with pytest.raises(
        ReleaseError, match=r"engines-0\.0\.1.* not of this version: move them away"
    ):
        sums(root)


def test_engines_that_the_daemon_would_not_take_have_no_sums_and_the_files_are_named(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path, a__added="All of it.")
    place = root / ENGINES_IN[0][0]
    place.write_text(ENGINES_IN[0][1].sub('version = "8.0.0"', place.read_text()))
    with pytest.raises(
        ReleaseError, match=r"8\.0\.0 in native/engines/pyproject\.toml; .* in src/"
    ):
        sums(root)


def test_the_first_release_tells_what_there_is_by_area_a_sentence_each(tmp_path: Path) -> None:
    pieces = {
        "peg__added": "Coins come in,\nand go out. More of it.\n",
        "shells__added": "`ambientctl` completes. `It` helps.\n",
        "x__added": "Another thing.\n",
        "y__fixed": "Nobody had this.\n",
        "z__security": "Nor this.\n",
    }
    root = tree(tmp_path, **pieces)
    release(root, "9.0.0", "2030-01-02")
    told = (root / "CHANGELOG.md").read_text()
    assert "mended on the way, 2 times," in told
    assert told.endswith(
        "### Bitcoin\n\n- Coins come in, and go out.\n\n"
        "### Command line\n\n- `ambientctl` completes.\n\n"
        "### Everything else\n\n- Another thing.\n"
    )
    assert [path.name for path in (root / "changelog.d").iterdir()] == ["README.md"]


def test_a_release_joins_the_fragments_by_kind_and_deletes_them(tmp_path: Path) -> None:
    root = tree(tmp_path, b__added="Second\nline.\n", a__added="First.\n", c__security="Closed.\n")
    (root / "CHANGELOG.md").write_text("# Changelog\n")
    release(root, "9.0.0", "2030-01-02")
    assert version_of(root) == "9.0.0"
    assert [path.name for path in (root / "changelog.d").iterdir()] == ["README.md"]
    added = "### Added\n\n- First.\n- Second line.\n"
    chapter = f"## 9.0.0 (2030-01-02)\n\n### Security\n\n- Closed.\n\n{added}"
    assert (root / "CHANGELOG.md").read_text() == f"# Changelog\n\n{chapter}"


def test_the_chart_of_a_release_has_its_version(tmp_path: Path) -> None:
    root = tree(tmp_path, a__added="All of it.")
    release(root, "9.0.0", "2030-01-02")
    chart = (root / "deploy" / "chart" / "Chart.yaml").read_text()
    assert '\nversion: 9.0.0\nappVersion: "9.0.0"\n' in chart
    (root / "deploy" / "chart" / "Chart.yaml").write_text(chart.replace("9.0.0", "8.0.0"))
    with pytest.raises(ReleaseError, match=r"the files disagree"):
        version_of(root)


def test_the_native_wheels_and_what_the_daemon_takes_of_them_move_with_a_release(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path, a__added="All of it.")
    release(root, "9.0.0", "2030-01-02")
    assert version_of(root, (*KEPT_IN, *NATIVE_IN)) == "9.0.0"
    for name, form in NATIVE_IN:
        found = form.findall((root / name).read_text())
        assert found == ["9.0.0"], name
    assert '\nNATIVE_VERSION = "9.0.0"  # ' in (root / NATIVE_IN[-1][0]).read_text()


def test_a_tag_is_the_version_that_the_tree_and_its_changelog_tell(tmp_path: Path) -> None:
    root = tree(tmp_path, a__added="All of it.")
    with pytest.raises(ReleaseError):
        check_tag(root, f"v{version_of(root)}")  # nothing was released yet
    release(root, "9.0.0", "2030-01-02")
    check_tag(root, "v9.0.0")
    for tag in ("9.0.0", "v9.0.1", "v9.0", "refs/tags/v9.0.0", "v9.0.0 ", ""):
        with pytest.raises(ReleaseError, match="it takes v9"):
            check_tag(root, tag)
    place = root / "native" / "engines" / "pyproject.toml"
    place.write_text(place.read_text().replace("9.0.0", "8.0.0"))
    with pytest.raises(ReleaseError, match="the files disagree"):
        check_tag(root, "v9.0.0")
    place.write_text(place.read_text().replace("8.0.0", "9.0.0"))
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## 8.0.0 (2030-01-02)\n")
    with pytest.raises(ReleaseError, match="does not begin with 9"):
        check_tag(root, "v9.0.0")


PACKAGES = (
    "ambientd-9.0.0-py3-none-any.whl",
    "ambientd-9.0.0.tar.gz",
    "ambientd_engines-9.0.0-cp311-abi3-manylinux_2_34_x86_64.whl",
)


def dist(root: Path, *names: str) -> Path:
    """Release a tree, with packages that are said to be built of it."""
    release(root, "9.0.0", "2030-01-02")
    return fill(root, *names)


def fill(root: Path, *names: str) -> Path:
    """Put packages into a tree that are said to be built of it."""
    (root / "requirements").mkdir()
    (root / "requirements" / "runtime.txt").write_text("a==1 --hash=sha256:00\n")
    (root / "dist").mkdir()
    for name in (*names, "ambientd.cdx.json"):
        (root / "dist" / name).write_text(name)
    return root / "dist"


def test_packages_come_with_their_requirements_and_the_hash_of_each(tmp_path: Path) -> None:
    root = tree(tmp_path, a__added="All of it.")
    folder = dist(root, *PACKAGES)
    for _ in range(2):
        sums(root)
        said = ["sha256sum", "--check", "--strict", SUMS]
        told = subprocess.run(said, cwd=folder, check=True, capture_output=True, text=True).stdout
        named = {line.removesuffix(": OK") for line in told.splitlines()}
        assert named == {path.name for path in folder.iterdir()} - {SUMS}
        assert {*PACKAGES, "ambientd-9.0.0-requirements.txt"} < named


@pytest.mark.parametrize("lacks", PACKAGES)
def test_a_release_without_one_of_its_packages_has_no_sums(tmp_path: Path, lacks: str) -> None:
    root = tree(tmp_path, a__added="All of it.")
    dist(root, *(name for name in PACKAGES if name != lacks))
    with pytest.raises(ReleaseError, match="lacks"):
        sums(root)


def test_what_is_of_another_version_is_not_released_with_it(tmp_path: Path) -> None:
    root = tree(tmp_path, a__added="All of it.")
    dist(root, *PACKAGES, PACKAGES[0].replace("9.0.0", "8.0.0"))
    with pytest.raises(ReleaseError, match=r"ambientd-8\.0\.0"):
        sums(root)


def test_the_newest_release_stands_first(tmp_path: Path) -> None:
    root = tree(tmp_path, a__fixed="One.")
    release(root, "8.0.0", "2030-01-02")
    (root / "changelog.d" / "b.fixed.md").write_text("Two.")
    release(root, "9.0.0", "2030-01-03")
    text = (root / "CHANGELOG.md").read_text()
    assert text.count("# Changelog\n") == 1
    assert text.index("## 9.0.0") < text.index("## 8.0.0")


@pytest.mark.parametrize("version", ["0.0.1", "9.0", "9.0.0rc1", ""])
def test_a_version_that_does_not_come_next_changes_nothing(tmp_path: Path, version: str) -> None:
    root = tree(tmp_path, a__fixed="One.")
    before = version_of(root)
    with pytest.raises(ReleaseError):
        release(root, version, "2030-01-02")
    assert version_of(root) == before
    assert not (root / "CHANGELOG.md").exists()


def test_the_first_release_may_be_what_the_tree_calls_itself_and_no_other_may(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path, a__added="All of it.")
    present = version_of(root)
    release(root, present, "2030-01-02")
    assert version_of(root) == present
    told = (root / "CHANGELOG.md").read_text()
    assert f"## {present} (2030-01-02)" in told
    (root / "changelog.d" / "b.fixed.md").write_text("Two.")
    with pytest.raises(ReleaseError, match="does not come after"):
        release(root, present, "2030-01-03")
    assert (root / "CHANGELOG.md").read_text() == told


def test_a_release_that_changes_nothing_is_none(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="nothing to tell"):
        release(tree(tmp_path), "9.0.0", "2030-01-02")


def test_a_fragment_of_no_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="KIND one of"):
        release(tree(tmp_path, a__news="One."), "9.0.0", "2030-01-02")
