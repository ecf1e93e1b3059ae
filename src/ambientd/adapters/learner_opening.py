"""Opening what trains models: its libraries are heavy, and only those who learn have them."""

from pathlib import Path

from ambientd.errors import ConfigError
from ambientd.ports.learning import Learner


def open_learner(folder: Path) -> Learner:
    """Give the learner of a node whose data lie in a folder; raise ConfigError if it cannot be."""
    try:
        from ambientd.adapters.learning.learner import make_learner  # numpy, for those who learn
    except ImportError as error:
        msg = f"{error.name} is not installed here: pip install 'numpy>=2' brings it"
        raise ConfigError(msg) from error
    return make_learner(folder)
