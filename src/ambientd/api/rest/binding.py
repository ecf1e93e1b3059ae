"""From a request's path, query and body to the struct that an operation takes."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, unquote

import msgspec

from ambientd.api.misfits import misfit_of
from ambientd.api.operations import Operation, OperationError
from ambientd.api.routes import BASE_PATH, Method

_FIELDS_MAX = 300
_ANY = ""
_HINT = f"{BASE_PATH}/docs shows what this node takes"

Row = Operation[Any, Any]
Bytes = bytes | bytearray


class WrongMethodError(Exception):
    """The path is known, under other methods."""

    def __init__(self, allowed: Iterable[Method]) -> None:
        super().__init__()
        self.allowed = sorted(allowed)


class Routes:
    """Finds the row of a path and a method, in as many steps as the path has parts."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._root: dict[str, Any] = {}
        for row in rows:
            place = self._root
            for part in row.route.path.strip("/").split("/"):
                place = place.setdefault(_ANY if part.startswith("{") else part, {})
            place.setdefault("/", {})[row.route.method] = row

    def find(self, method: str, path: str) -> tuple[Row, dict[str, str]]:
        """Give the row and what its braces stand for.

        Raises:
            OperationError: nothing is there.
            WrongMethodError: something is there, for other methods.
        """
        place, values = self._root, []
        parts = path.removeprefix(BASE_PATH).split("/")[1:]
        if path.startswith(f"{BASE_PATH}/"):
            for part in map(_decoded, parts):
                if part and part in place:
                    place = place[part]
                elif part and _ANY in place:
                    place = place[_ANY]
                    values.append(part)
                else:
                    break
            else:
                return self._choose(place.get("/", {}), method, values)
        return self._choose({}, method, values)

    def _choose(
        self, rows: Mapping[str, Row], method: str, values: list[str]
    ) -> tuple[Row, dict[str, str]]:
        if not rows:
            raise OperationError("not_found", "nothing is there", _HINT)
        row = rows.get(Method.GET if method == "HEAD" else method)
        if row is None:
            raise WrongMethodError(Method(each) for each in rows)
        return row, dict(zip(row.route.parameters, values, strict=True))


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise OperationError("malformed", "the path is not UTF-8", _HINT) from None


def bind(row: Row, parameters: dict[str, str], query: str, body: Bytes) -> Any:  # noqa: ANN401
    """Give what the handler takes; raise OperationError saying which field is wrong."""
    if row.route.method is Method.GET:
        return _converted(row.request, {**_fields(row.request, query), **parameters}, lax=True)
    if query:
        msg = f"a {row.route.method} takes no query"
        raise OperationError("malformed", msg, _HINT)
    if row.route.method is Method.PUT:
        return _converted(row.request, dict(parameters), lax=False)
    if not parameters:
        return _decoded_body(row.request, body or b"{}")
    fields = _decoded_body(dict[str, Any], body or b"{}")
    twice = sorted(set(fields) & set(parameters))
    if twice:
        raise OperationError("malformed", f"{twice[0]!r} stands in the path already", _HINT)
    return _converted(row.request, {**_whole(fields), **parameters}, lax=False)


def _fields(kind: type[msgspec.Struct], query: str) -> dict[str, object]:
    """Read a query; fields that hold lists are named once an item."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise OperationError("malformed", f"the query does not read: {error}", _HINT) from None
    lists = list_fields(kind)
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in lists:
            found.setdefault(key, []).append(value)
        elif key in found:
            raise OperationError("malformed", f"{key[:64]!r} is given twice", _HINT)
        else:
            found[key] = value
    return found


def list_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Name the fields of a request that hold lists."""
    return frozenset(name for name, hint in get_type_hints(kind).items() if _is_list(hint))


def _is_list(hint: object) -> bool:
    return get_origin(hint) is tuple or any(get_origin(each) is tuple for each in get_args(hint))


def _converted(kind: Any, fields: dict[str, Any], *, lax: bool) -> Any:  # noqa: ANN401
    try:
        return msgspec.convert(fields, kind, strict=not lax)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        msg = f"the request does not fit: {misfit_of(error)}"
        raise OperationError("malformed", msg, _HINT) from None


def _decoded_body(kind: Any, body: Bytes) -> Any:  # noqa: ANN401
    """Decode JSON, in which 5.0 is an integer as well; the log waits meanwhile."""
    try:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError:
            return msgspec.convert(_whole(msgspec.json.decode(body)), kind)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        msg = f"the body does not fit: {misfit_of(error)}"
        raise OperationError("malformed", msg, _HINT) from None


def _whole(value: Any) -> Any:  # noqa: ANN401
    """Give a JSON value with its whole numbers as integers."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _whole(each) for name, each in value.items()}
        case list():
            return [_whole(each) for each in value]
        case _:
            return value
