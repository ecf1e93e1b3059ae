"""What `ambientctl image check` makes of what nodes say, and what it ends with."""

import json
from typing import Any, Self

import pytest

from ambientd.api.image_values import ImageInfo, ImageWord
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.main import main

MODULE, MADE, OTHER = ("ab" * 32, "01" * 32, "02" * 32)


class Answering:
    """A daemon that gives one answer."""

    def __init__(self, info: ImageInfo) -> None:
        self.info = info

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def call(self, *_: object) -> ImageInfo:
        return self.info


def word(name: str, image: str, *, denied: bool = False) -> ImageWord:
    return ImageWord(node="0f" * 32, name=name, image=image, is_member=not denied, denied=denied)


@pytest.mark.parametrize(
    ("words", "decided", "code"),
    [
        ((), "", ExitCode.DONE),
        ((word("a", MADE),), "", ExitCode.DONE),
        ((word("stranger", OTHER),), "", ExitCode.NOT_VERIFIED),
        ((word("stranger", OTHER, denied=True), word("a", MADE)), MADE, ExitCode.DONE),
        ((word("a", OTHER), word("b", OTHER)), OTHER, ExitCode.NOT_VERIFIED),
    ],
)
def test_a_lie_speaks_against_what_was_made_here_until_its_author_is_denied(
    words: tuple[ImageWord, ...],
    decided: str,
    code: ExitCode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    info = ImageInfo(
        module_sha256=MODULE, translation="0c" * 32, image=decided, needed=2, words=words
    )
    monkeypatch.setattr("ambientd.cli.image_commands.connect", lambda _: Answering(info))
    assert main(["image", "check", MODULE, MADE]) == code
    capsys.readouterr()
    assert main(["image", "check", MODULE, MADE, "--json"]) == code
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["agrees"] is (code == ExitCode.DONE)


def test_where_nobody_spoke_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = ImageInfo(module_sha256=MODULE, translation="0c" * 32, image="", needed=2, words=())
    monkeypatch.setattr("ambientd.cli.image_commands.connect", lambda _: Answering(info))
    assert main(["image", "show", MODULE.upper()]) == ExitCode.DONE
    assert "nobody has named an image" in capsys.readouterr().out
    assert main(["image", "check", MODULE, MADE.upper()]) == ExitCode.DONE
    told = capsys.readouterr().out.splitlines()
    assert told == [f"made here  {MADE}", f"module     {MODULE}", "nobody has named an image"]


@pytest.mark.parametrize(
    ("image", "fault"),
    [("0f", "no image: there is no such file, and it is no id"), (".", "no image: it is a folder")],
)
def test_an_image_that_cannot_be_read_is_no_verdict(
    image: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "check", MODULE, image]) == ExitCode.USAGE
    assert f"{image}: {fault}" in capsys.readouterr().err
