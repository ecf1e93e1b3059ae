"""Trainers that run in the participant's own process, by the names that studies give them.

A trainer takes a model's numbers as floats and gives what they are after a round's passes; what it
gives need not be the same bytes everywhere. NumPy's is always here, others where their libraries
are: an owner who joins a study learns what is missing.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ambientd.adapters.learning import networks
from ambientd.adapters.learning.networks import Floats, Training
from ambientd.adapters.learning.samples import Samples
from ambientd.errors import ConfigError
from ambientd.rules.learning.models import Model

Descend = Callable[[Model, Floats, Samples, Training, bytes], Floats]
"""Trains a model, given by its numbers, on samples; the last argument is the round's seed."""


def _numpy() -> Descend:
    return networks.descended


def _torch() -> Descend:
    try:
        from ambientd.adapters.learning import torch_networks
    except ImportError as error:
        msg = f"{error.name} is not installed here: pip install torch brings it, for this study"
        raise ConfigError(msg) from error
    torch_networks.check()
    return torch_networks.descended


NATIVE: Mapping[str, Callable[[], Descend]] = MappingProxyType({"numpy": _numpy, "torch": _torch})
"""How each trainer is opened; raises ConfigError where this device lacks its library."""
