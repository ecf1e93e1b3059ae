"""Ending the embedded chain of a folder."""

from pathlib import Path

import pytest

from ambientd.adapters.regtest.launcher import EmbeddedChain
from ambientd.api.embedded_chain import stop_embedded_chain


def test_no_chain_is_ended_at_once(tmp_path: Path) -> None:
    assert stop_embedded_chain(tmp_path / "chain", deadline_s=0)


@pytest.mark.mesh
@pytest.mark.slow
def test_a_running_chain_is_ended(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path / "chain")
    chain.ensure_running()
    assert not stop_embedded_chain(chain.data_dir, deadline_s=-1)
    assert stop_embedded_chain(chain.data_dir)
    assert chain.running() is None
