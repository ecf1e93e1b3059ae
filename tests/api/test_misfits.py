"""Whoever wrote a request reads in a sentence what does not fit, and what would."""

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from ambientd.api.learning_values import ModelForm
from ambientd.api.misfits import misfit_of


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A struct within another."""

    share: Annotated[float, Meta(ge=0, lt=0.5)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field of each kind."""

    text: Annotated[str, Meta(min_length=1, max_length=256)] = "x"
    data: Annotated[bytes, Meta(max_length=3)] = b""
    texts: Annotated[tuple[Annotated[str, Meta(max_length=3)], ...], Meta(max_length=2)] = ()
    number: Annotated[int, Meta(ge=1, le=1000)] = 1
    way: Annotated[str, Meta(pattern="^(in|out)$")] = "in"
    inner: Inner | None = None
    on: bool = False
    form: ModelForm = ModelForm.NPZ


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"text": "x" * 257}, "`text` is too long: 256 characters at most"),
        ({"text": ""}, "`text` is too short: 1 character or more"),
        ({"data": b"1234"}, "`data` is too long: 3 bytes at most"),
        ({"texts": ["a"] * 3}, "`texts` has too many: 2 values at most"),
        ({"texts": ["a", "long"]}, "`texts[1]` is too long: 3 characters at most"),
        ({"number": 0}, "`number` is too small: 1 or more"),
        ({"number": 1001}, "`number` is too large: 1000 at most"),
        ({"inner": {"share": 0.5}}, "`inner.share` is too large: less than 0.5"),
        ({"inner": {"share": -0.1}}, "`inner.share` is too small: 0 or more"),
        ({"inner": {}}, "the field `share` is missing in `inner`"),
        ({"way": "up"}, "`way` is not written as it must be: ^(in|out)$"),
        ({"texst": []}, "there is no field `texst`"),
        ({"number": "one"}, "`number` must be a whole number, and is a text"),
        ({"number": 2.5}, "`number` must be a whole number, and is a decimal number"),
        ({"data": 5}, "`data` must be bytes, in JSON as base64, and is a whole number"),
        ({"inner": [1]}, "`inner` must be a group of fields or nothing, and is a list"),
        ({"texts": ["a", None]}, "`texts[1]` must be a text, and is nothing"),
        ({"on": 1.5}, "`on` must be true or false, and is a number"),
        ({"form": "pdf"}, "`form` cannot be 'pdf'"),
        ([], "the whole must be a group of fields, and is a list"),
    ],
)
def test_a_misfit_is_named_with_what_would_fit(value: object, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=Asked)
    assert misfit_of(error.value) == said


def test_bytes_that_are_no_base64_are_said_with_their_field() -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.json.decode(b'{"data": "%%"}', type=Asked)
    assert misfit_of(error.value) == "`data` is no base64"


def test_what_is_no_message_at_all_is_said_in_the_decoders_words() -> None:
    with pytest.raises(msgspec.DecodeError) as error:
        msgspec.json.decode(b"{", type=Asked)
    assert misfit_of(error.value) == "Input data was truncated"
