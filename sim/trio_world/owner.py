"""An owner's word in a world of daemons: kept across crashes, in calm surroundings."""

from ambientd.config.owner_terms import OwnerTerms
from ambientd.ports.surroundings import Surroundings

CALM = Surroundings(on_battery=False, metered_link="", week_minute=0, zone="UTC")


class KeptTerms:
    """A disk for the owner's terms that no crash reaches."""

    def __init__(self) -> None:
        self.terms = OwnerTerms()

    def load(self) -> OwnerTerms:
        """Give what was kept."""
        return self.terms

    def keep(self, terms: OwnerTerms) -> None:
        """Keep it."""
        self.terms = terms


class CalmDevice:
    """A device whose surroundings are what a test says."""

    def __init__(self) -> None:
        self.seen = CALM

    def look(self, time_zone: str, metered_links: tuple[str, ...]) -> Surroundings:
        """Give what a test says."""
        del time_zone, metered_links
        return self.seen


class NoCaps:
    """Executions that take no processor and no memory."""

    cores = 4
    size = 4
    memory_bytes = 2**33

    def hold_to(self, cpu_percent: int, memory_bytes_max: int) -> None:
        """Hold nothing."""
