"""Anchoring's options."""

from dataclasses import dataclass

from ambientd.errors import ConfigError
from ambientd.rules.anchor_costs import FALLBACK_RATE_MSAT_VB
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN


@dataclass(frozen=True, slots=True)
class AnchoringOptions:
    """Caps, patience and pauses; `fee_sat_a_day_max` 0 is no cap a day.

    A proven root is watched until `deep_blocks` confirmations, and while no `proven_kept_max`
    larger ones are.
    """

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
    deep_blocks: int = 1_008

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: naming the option.
        """
        for name in self.__dataclass_fields__:
            if getattr(self, name) < (name != "fee_sat_a_day_max"):
                msg = f"anchoring: {name} is {getattr(self, name)}; it must be above 0"
                raise ConfigError(msg)

    def is_over(self, periods: int, blocks: int, waited_ms: int) -> bool:
        """Tell whether so many periods of patience are over."""
        return blocks >= periods * self.bump_blocks or waited_ms >= periods * self.bump_ms

    def cap_fault(self, fee_sat: int, day_sat: int) -> str | None:
        """Say why a fee, with which a day's fees come to `day_sat`, is not paid, or give None."""
        if fee_sat > self.fee_sat_max:
            return f"a fee of {fee_sat} sat is above the cap {self.fee_sat_max}"
        if self.fee_sat_a_day_max and day_sat > self.fee_sat_a_day_max:
            return f"{day_sat} sat in one day is above the cap {self.fee_sat_a_day_max}"
        return None
