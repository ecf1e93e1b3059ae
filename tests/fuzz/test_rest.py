"""A few examples of every operation against a live daemon; `make fuzz-rest` tries more."""

from pathlib import Path

import pytest

from tests.mesh.cluster import own_port

pytestmark = [pytest.mark.slow, pytest.mark.mesh]


def test_a_prober_that_reads_the_document_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="make fuzz-rest installs it")
    from tests.fuzz.rest import probe

    assert probe(tmp_path, own_port(), examples=3, seed=1) == 0
