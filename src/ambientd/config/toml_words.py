"""Says in plain words why a text is no TOML, and where: tomllib's own are for programmers."""

import re
from tomllib import TOMLDecodeError

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_ASSIGNED = re.compile(r"\s*([\w.\"'-]+)\s*=\s*([^#]*?)\s*(?:#.*)?$")
_SHOWN_CHARS = 60

_WORDS = (
    ("Expected '=' after a key", 'a key is followed by "=" and its value: name = "attic"'),
    ("Expected ']' at the end of a table", 'a section ends with "]": [node]'),
    ("Expected newline or end of document", "one setting a line: something follows the value"),
    ("Cannot overwrite a value", "it is set a second time; keep one"),
    ("Cannot declare", "this section stands a second time; put its keys into the first"),
    ("Unclosed array", 'a list is never closed: it ends with "]"'),
    ("Unclosed inline table", 'a section in braces is never closed: it ends with "}"'),
    ("Unterminated string", "a text is never closed: it ends with the quote it begins with"),
    ("Illegal character '\\n'", "a text is never closed: it ends with the quote it begins with"),
    ("Illegal character", "a character that nobody sees stands here: write the line anew"),
    ("Unescaped '\\'", 'a "\\" in double quotes is written twice; or use single quotes'),
    ("Invalid initial character", "a key begins with a letter, as in name ="),
    ("Invalid statement", "this is neither a section, nor a setting, nor a comment"),
)
"""How tomllib's complaints begin, and what to say instead; others stay as they are."""


def toml_fault(error: Exception, text: str) -> tuple[int | None, str]:
    """Give the line of a complaint of tomllib, and plain words; None where it is not one line's."""
    if isinstance(error, ValueError) and not isinstance(error, TOMLDecodeError):
        return None, "a number has too many digits"
    if not isinstance(error, TOMLDecodeError):
        return None, "lists or sections stand within one another too deeply"
    complaint = str(error)
    place = _PLACE.search(complaint)
    complaint = complaint[: place.start()] if place else complaint
    lines = text.splitlines() or [""]
    number = int(place[1]) if place and place[1] else len(lines)
    line = lines[min(number, len(lines)) - 1].strip()
    words = next((ours for theirs, ours in _WORDS if complaint.startswith(theirs)), "")
    if complaint == "Invalid value":
        words = _value_words(line)
    shown = line if len(line) <= _SHOWN_CHARS else f"{line[:_SHOWN_CHARS]}…"
    return number, f"{words or complaint}, here: {shown}" if shown else words or complaint


def _value_words(line: str) -> str:
    """Say what is wrong with the value of a setting."""
    found = _ASSIGNED.match(line)
    key, value = found.groups() if found else ("", "")
    if not value:
        return "a value is missing"
    if value.lower() in {"true", "false"}:
        return f"write {key} = {value.lower()}"
    if value.lower() in {"yes", "on", "no", "off"}:
        return "write true or false"
    if re.fullmatch(r"[\w.:/@-]+", value):
        return f'a text stands in quotes: {key} = "{value}"'
    return 'a value is a text in quotes, a number, true or false, or a list: ["a", "b"]'
