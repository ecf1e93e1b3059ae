"""What the trial of the container image holds it against; the trial itself needs root."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from scripts.check_image import READ_ONLY, READ_ONLY_TRIAL, TRIAL, check_config

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text("utf-8")
PROMISED = {
    "User": "10001:10001",
    "Entrypoint": ["ambientd"],
    "StopSignal": "SIGTERM",
    "Volumes": {"/var/lib/ambient": {}},
    "Healthcheck": {"Test": ["CMD", "ambientctl", "status", "--quiet"]},
    "Env": ["AMBIENT_DATA_DIR=/var/lib/ambient"],
}


def inspected(**other: object) -> str:
    return json.dumps({"Docker": {"config": PROMISED | other}})


def test_an_image_as_the_dockerfile_says_gives_its_environment() -> None:
    assert check_config(inspected()) == PROMISED["Env"]
    assert "\nUSER 10001:10001\n" in DOCKERFILE
    assert "\nVOLUME /var/lib/ambient\n" in DOCKERFILE


@pytest.mark.parametrize(
    ("what", "other"), [("User", "root"), ("Volumes", {}), ("Healthcheck", {})]
)
def test_an_image_that_is_otherwise_is_refused(what: str, other: object) -> None:
    with pytest.raises(SystemExit, match=what):
        check_config(inspected(**{what: other}))


@pytest.mark.parametrize("script", [TRIAL, READ_ONLY, READ_ONLY_TRIAL])
def test_the_trials_are_words_of_a_plain_shell(script: str) -> None:
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert "jobs -p" not in script, "dash, which the image has, prints none of them to a program"


def test_only_the_folders_that_the_dockerfile_names_take_a_write_in_the_trial() -> None:
    named = re.search(r"Nothing but (\S+) and (\S+) is written", DOCKERFILE)
    assert named is not None
    assert re.findall(r'tmpfs "\$1(\S+)"', READ_ONLY) == list(named.groups())
