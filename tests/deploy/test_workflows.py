"""The public workflows say when and where; what is done stands in the Makefile, and is pinned."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROGRAMS = re.compile(r"sudo apt-get update && sudo apt-get install [a-z0-9+ -]+")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
USED = re.compile(r"^ +- uses: (.*)$", re.MULTILINE)
PINNED = re.compile(r"([\w-]+/[\w-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+")
RUN = re.compile(r"- run: (.+)")
EXACT = re.compile(r"\d+\.\d+\.\d+")


def jobs_of(name: str) -> dict[str, str]:
    """Give the jobs of a workflow, each as its lines."""
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8")
    found = re.split(r"^  (\w+):\n", text.partition("\njobs:\n")[2], flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_the_makefile_and_nothing_else(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    said = RUN.findall(path.read_text("utf-8"))
    assert said
    for line in said:
        if PROGRAMS.fullmatch(line):
            continue
        program, *words = line.split()
        assert program == "make", line
        assert {word for word in words if "=" not in word} <= targets, line


def test_actions_are_named_by_commit_and_an_action_by_one_commit_everywhere() -> None:
    commits: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        used = USED.findall(path.read_text("utf-8"))
        assert used
        for said in used:
            match = PINNED.fullmatch(said)
            assert match, said
            commits.setdefault(match[1], set()).add(match[2])
    assert {name: found for name, found in commits.items() if len(found) > 1} == {}


@pytest.mark.parametrize("tool", ["go", "node"])
def test_compilers_are_named_by_their_whole_version_and_one_everywhere(tool: str) -> None:
    said = re.findall(rf'{tool}-version: "(.+?)"', "".join(map(Path.read_text, WORKFLOWS)))
    assert said
    assert len(set(said)) == 1
    assert EXACT.fullmatch(said[0])


def test_rust_and_what_is_built_from_others_sources_have_whole_versions() -> None:
    toolchain = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]
    assert EXACT.fullmatch(toolchain["channel"])
    wanted = re.findall(r"^\w+_VERSION := v?(.+)$", MAKEFILE, re.MULTILINE)
    wanted += re.findall(r"^\w+ := \$\(PROGRAMS\)/v([^/]+)/", MAKEFILE, re.MULTILINE)
    assert len(wanted) >= 8
    assert [version for version in wanted if not EXACT.fullmatch(version)] == []
    fetched = re.findall(r"\b(?:go|cargo) install .*?(\S+@\$\(.*)$", MAKEFILE, re.MULTILINE)
    assert len(fetched) >= 4
    versioned = re.compile(r"\S+@\$\((?:\w+_VERSION|notdir \$\(@D\))\)")
    assert [each for each in fetched if not versioned.fullmatch(each)] == []


def test_images_are_named_by_digest_but_for_the_one_that_is_built_here() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    assert bases == {"${NODE}", "${PYTHON}"}
    named = re.findall(r"^ARG (?:NODE|PYTHON)=(\S+)$", dockerfile, re.MULTILINE)
    assert len(named) == 2
    compose = (ROOT / "deploy" / "compose" / "compose.yml").read_text()
    named += set(re.findall(r"^ +image: (\S+)$", compose, re.MULTILINE)) - {"ambient:local"}
    assert len(named) == 4
    pinned = re.compile(r"docker\.io/[\w/]+:v?\d+\.\d+\.\d+[\w-]*@sha256:[0-9a-f]{64}")
    assert [image for image in named if not pinned.fullmatch(image)] == []


def test_the_image_is_built_of_lists_that_are_pinned_and_the_larger_one_has_the_other_whole() -> (
    None
):
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "\nARG REQUIREMENTS=runtime\n" in dockerfile
    pinned = {
        name: set(re.findall(r"^(\S+==\S+.*) \\$", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements/runtime.txt", "requirements/extras.txt")
    }
    runtime, extras = pinned.values()
    assert len(runtime) > 50
    assert runtime < extras
    assert {line.partition("=")[0] for line in extras - runtime} == {"numpy", "obstore"}


def test_the_public_suite_leaves_nothing_out_that_nobody_named() -> None:
    assert "make test-all JOBS=4" in RUN.findall(jobs_of("ci")["test"])
    assert "make test-chains JOBS=4" in RUN.findall(jobs_of("ci")["chains"])
    recipe = MAKEFILE.partition("\ntest-all: programs ")[2].partition("\n\n")[0]
    assert "$(MAKE) test" in recipe
    assert "python -m scripts.tally build/suite.log" in recipe
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    exported = re.findall(r"^export (AMBIENT_.*)$", run, re.MULTILINE)
    assert exported
    assert f"\nEVERYTHING_THERE := {' '.join(exported)}\n" in MAKEFILE


def test_every_block_of_the_documents_is_typed_in_public_with_what_its_machine_lacks() -> None:
    assert RUN.findall(jobs_of("ci")["blocks"]) == [
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends clang lld",
        "make test-blocks JOBS=4",
    ]
    recipe = MAKEFILE.partition("\ntest-blocks: ")[2].partition("\n\n")[0]
    for brought in ("rustup target add wasm32-wasip1", "as/node_modules/.bin/asc", "proofs "):
        assert brought in recipe
    assert "AMBIENT_BLOCKS=every" in recipe


def test_no_browser_is_asked_of_ubuntu_whose_package_is_but_a_word_on_a_snap() -> None:
    assert "chromium" not in " ".join(RUN.findall(jobs_of("ci")["browser"]))


def test_a_release_is_built_of_its_own_tag_alone_and_says_where() -> None:
    jobs = jobs_of("release")
    built = {name: RUN.findall(text) for name, text in jobs.items() if "native-wheels" in text}
    assert len(built) == 2
    for said in built.values():
        assert said[0] == "make check-tag TAG=$GITHUB_REF_NAME"
    together = jobs["together"]
    assert f"needs: [{', '.join(built)}]" in together
    assert "id-token: write, attestations: write" in together
    order = ("make sums", "actions/attest-build-provenance@", "name: release")
    places = [together.index(each) for each in order]
    assert places == sorted(places)
    assert "subject-checksums: dist/SHA256SUMS" in together
