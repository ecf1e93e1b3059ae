"""Anchoring's options."""

from dataclasses import dataclass

from ambientd.errors import ConfigError
from ambientd.rules.anchor_costs import FALLBACK_RATE_MSAT_VB
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN


@dataclass(frozen=True, slots=True)
class AnchoringOptions:
    """Caps, patience and pauses; `fee_sat_a_day_max` 0 is no cap a day."""

    fee_sat_max: int = 10_000
    fee_sat_a_day_max: int = 0
    fallback_rate_msat_vb: int = FALLBACK_RATE_MSAT_VB
    confirmations: int = CONFIRMATIONS_MIN
    bump_blocks: int = 6
    bump_ms: int = 5_400_000
    rebroadcast_ms: int = 600_000
    look_ms: int = 30_000
    retry_ms: int = 600_000
    watch_ms: int = 60_000
    proven_kept_max: int = 64

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: naming the option.
        """
        for name in self.__dataclass_fields__:
            if getattr(self, name) < (name != "fee_sat_a_day_max"):
                msg = f"anchoring: {name} is {getattr(self, name)}; it must be above 0"
                raise ConfigError(msg)
