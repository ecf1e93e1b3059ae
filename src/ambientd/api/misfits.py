"""What is wrong with a request that does not fit its shape, as a sentence for whoever wrote it."""

import re

from ambientd.api.counting import in_words

_SIZED = re.compile(r"Expected `(str|bytes|array|object)` of length (<=|>=) (\d+)")
_BOUNDED = re.compile(r"Expected `(?:int|float)` (<=|<|>=|>) (\S+)")
_WRITTEN = re.compile(r"Expected `str` matching regex '(.*)'")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_KIND = re.compile(r"Expected `([a-z |]+)`, got `([A-Za-z]+)`")
_CHOICE = re.compile(r"Invalid (?:enum )?value (.+)")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "bytes": "bytes, in JSON as base64",
    "array": "a list",
    "object": "a group of fields",
    "null": "nothing",
    "None": "nothing",
}
_UNITS = {"str": "character", "bytes": "byte", "array": "value", "object": "field"}
_GRADES = {"<=": "large", "<": "large", ">=": "small", ">": "small"}
_BOUNDS = {"<=": "{} at most", "<": "less than {}", ">=": "{} or more", ">": "more than {}"}


def misfit_of(error: Exception) -> str:
    """Say which field does not fit, and what would; msgspec's own words where none are better."""
    said, _, place = str(error).rpartition(" - at `$")
    said, field = (said, place.rstrip("`").lstrip(".")) if said else (str(error), "")
    named, within = (f"`{field}`", f" in `{field}`") if field else ("the whole", "")
    if found := _SIZED.fullmatch(said):
        return f"{named} {_size_text(*found.groups())}"
    if found := _BOUNDED.fullmatch(said):
        bound = _BOUNDS[found[1]].format(found[2].removesuffix(".0"))
        return f"{named} is too {_GRADES[found[1]]}: {bound}"
    if found := _WRITTEN.fullmatch(said):
        return f"{named} is not written as it must be: {found[1]}"
    if found := _UNKNOWN.fullmatch(said):
        return f"there is no field `{found[1]}`{within}"
    if found := _MISSING.fullmatch(said):
        return f"the field `{found[1]}` is missing{within}"
    if found := _KIND.fullmatch(said):
        is_finer = "int" in found[1].split(" | ") and found[2] == "float"
        given = "a decimal number" if is_finer else _either(found[2])
        return f"{named} must be {_either(found[1])}, and is {given}"
    if found := _CHOICE.fullmatch(said):
        return f"{named} cannot be {found[1]}"
    if said.startswith("Invalid base64"):
        return f"{named} is no base64"
    return f"{named}: {said[:1].lower()}{said[1:]}" if field else said


def _either(kinds: str) -> str:
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | "))


def _size_text(kind: str, relation: str, number: str) -> str:
    is_much = relation == "<="
    bound = f"{in_words(int(number), _UNITS[kind])} {'at most' if is_much else 'or more'}"
    if kind in {"array", "object"}:
        return f"has too {'many' if is_much else 'few'}: {bound}"
    return f"is too {'long' if is_much else 'short'}: {bound}"
