"""All that reads bytes from outside is on the fuzzer's list, and tried a little here as well."""

import random
from types import MappingProxyType
from typing import Final

import pytest

from ambientd.codec import canonical
from ambientd.errors import LocalProtocolError, RemoteProtocolError
from tests.fuzz.found import FOUND
from tests.fuzz.mutation import mutated
from tests.fuzz.promise import is_refused
from tests.fuzz.readers import Place, places, watched
from tests.fuzz.targets import TARGETS, chosen, examine, seeds, sound

MUTATED_EACH: Final = 40

EXCEPT: Final[MappingProxyType[str, tuple[str, ...]]] = MappingProxyType(
    {
        "what this node itself wrote into its own folder": (
            "adapters.batch_journal:",
            "adapters.book_file:",
            "adapters.compiled_files:",
            "adapters.consent_file:",
            "adapters.private_book_file:",
            "adapters.sqlite_wal:",
            "adapters.trail_files:",
            "api.once:",
            "api.tokens:read_tokens",
            "api.webhook_signing:",
            "api.webhooks:Webhooks._post",
            "roles.anchoring.book:",
            "roles.pegging.book:",
            "runtime.backup:_head_of",
            "runtime.persistence:_",
            "runtime.persistence:asked_tasks",
            "runtime.row_versions:",
        ),
        "what came through a reader that is tried, and was checked there": (
            "api.blaming:Blaming._evidence",
            "client.async_mesh:submission",
            "cli.registry_commands:_request",
            "config.settings:settings_of",
            "node.installing:state_of",
            "rules.header_chain:_work",
            "rules.lessons:data_samples",
            "wasm.c_body:",
        ),
        "what this program or its operating system made just before": (
            "api.peer_user:",
            "daemon.fleet:",
            "node.frames:",
            "rules.learning.masking:_numbers",
            "rules.learning.noise:_pieces_of_noise",
            "worker.__main__:",
            "worker.serve:",
        ),
        "what the operator of the machine wrote, or the chain of its demo": (
            "adapters.probes.carbon:_table",
            "adapters.regtest.",
        ),
        "bodies of the REST API, which `make fuzz-rest` tries": ("api.rest.binding:",),
    }
)
"""Places that no target comes by, by the reason why; each beginning of a name must be needed."""


def missed() -> list[Place]:
    canonical._decoder.cache_clear()  # or it is not come by where earlier tests of a process did
    with watched() as seen:
        for data in seeds():
            examine(data)
    return [place for place in places() if not seen.holds(place)]


def test_whatever_reads_bytes_from_outside_is_a_target_or_an_exception_with_a_reason() -> None:
    known = [start for starts in EXCEPT.values() for start in starts]
    left = [str(place) for place in missed()]
    assert [place for place in left if not place.startswith(tuple(known))] == []
    unneeded = [start for start in known if not any(each.startswith(start) for each in left)]
    assert unneeded == []


def test_each_target_takes_something() -> None:
    taken = {name for name, data in sound() if not is_refused(TARGETS[name], data)}
    for name in TARGETS.keys() - taken:
        own = (data[1:] for data in seeds() if data[:1] == chosen(name))
        if not all(is_refused(TARGETS[name], data) for data in own):
            taken.add(name)
    assert sorted(TARGETS.keys() - taken) == []


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_sound_input_that_was_changed_is_read_or_refused(name: str) -> None:
    rng = random.Random(name)
    own = [data for data in seeds() if data[:1] == chosen(name)]
    for _ in range(MUTATED_EACH):
        changed = mutated(rng, rng.choice(own)[1:], rng.choice(own)[1:])
        is_refused(TARGETS[name], changed)


@pytest.mark.parametrize("name", sorted(FOUND))
def test_an_input_that_was_a_find_is_read_or_refused(name: str) -> None:
    for data in FOUND[name]:
        is_refused(TARGETS[name], data)


def test_a_fault_of_ours_is_no_refusal() -> None:
    def ours(_: bytes) -> None:
        raise LocalProtocolError("a bug")

    def theirs(_: bytes) -> None:
        raise RemoteProtocolError("a fault")

    assert is_refused(theirs, b"")
    with pytest.raises(LocalProtocolError):
        is_refused(ours, b"")
