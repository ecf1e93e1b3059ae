"""Versions of modules: semantic versions without build metadata, and their order."""

import re
from collections.abc import Iterable
from typing import TypeAlias

VERSION_CHARS_MAX = 32
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_WORD = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_WORD}(?:\.{_WORD})*))?")

Order: TypeAlias = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def version_fault(text: str) -> str | None:
    """Say why a text is no version, or None."""
    if len(text) > VERSION_CHARS_MAX or _VERSION.fullmatch(text) is None:
        shown = text[:VERSION_CHARS_MAX]
        return (
            f"{shown!r} is no version: write MAJOR.MINOR.PATCH, numbers of 9 digits at most, "
            "with -WORD for a pre-release"
        )
    return None


def version_order(version: str) -> Order:
    """Give what a version sorts by (semver.org §11): pre-releases before what they lead to."""
    found = _VERSION.fullmatch(version)
    assert found is not None, "only versions without a fault are compared"
    major, minor, patch, words = found.groups()
    told = (words or "").split(".") if words else []
    parts = tuple((not each.isdigit(), int(each) if each.isdigit() else 0, each) for each in told)
    return int(major), int(minor), int(patch), not words, parts


def is_prerelease(version: str) -> bool:
    """Tell whether a version only leads to another."""
    return not version_order(version)[3]


def line_fault(version: str, known: Iterable[str]) -> str | None:
    """Say which published version of its MAJOR.MINOR a new one is not above, or None."""
    new = version_order(version)
    line = [each for each in known if version_order(each)[:2] == new[:2]]
    last = max(line, key=version_order, default=None)
    if last is None or version_order(last) < new:
        return None
    return f"{last} is published already: a version is above all of its MAJOR.MINOR"
