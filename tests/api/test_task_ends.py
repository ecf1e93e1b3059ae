"""Whether an execution done again came to the end that the ledger has."""

import pytest
from msgspec.structs import replace

from ambientd.api.requests import SubmitTask
from ambientd.api.task_ends import agrees
from tests.fakes.desk_node import _task

KNOWN = replace(
    _task("ab" * 32, SubmitTask(), "completed", "final"),
    gas=7,
    output_sha256="ab",
    verdict="agreed",
)


@pytest.mark.parametrize(
    ("changes", "found", "said"),
    [
        ({}, ("completed", 7, "ab"), True),
        ({}, ("completed", 8, "ab"), False),
        ({}, ("trapped", 7, None), False),
        ({}, ("aborted", None, None), None),
        ({"state": "assigned"}, ("completed", 7, "ab"), None),
        ({"outcome": "none"}, ("completed", 7, "ab"), None),
        ({"verdict": "inconclusive"}, ("completed", 7, "ab"), None),
    ],
)
def test_only_an_end_that_both_have_is_compared(
    changes: dict[str, str], found: tuple[str, int | None, str | None], said: bool | None
) -> None:
    assert agrees(replace(KNOWN, **changes), *found) is said
