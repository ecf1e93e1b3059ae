"""Tests have libp2p as a daemon has it, whatever they import first."""

import ambientd.adapters.libp2p  # noqa: F401 - before libp2p itself
