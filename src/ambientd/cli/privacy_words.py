"""What private mode hides and costs, as a person reads it."""

from collections.abc import Sequence
from math import exp, log
from typing import TYPE_CHECKING

from ambientd.api.counting import rounded_up
from ambientd.cli.console import short

if TYPE_CHECKING:  # `status` says a line of this, and needs none of those types
    from ambientd.api.learning_values import Budget, BudgetInfo, Privacy, StudyInfo

_EXACT_UP_TO = 5.0
_DIGITS_MAX = 6


def epsilon_text(epsilon: float | None) -> str:
    """Give an epsilon as text, rounded up: who allows so much has room; a dash for no bound."""
    return "-" if epsilon is None else rounded_up(epsilon)


def standing_text(epsilon: float | None) -> str:
    """Say in short what was spent."""
    return "no bound on epsilon" if epsilon is None else f"epsilon {epsilon_text(epsilon)} spent"


def privacy_fields(study: "StudyInfo") -> list[tuple[str, str]]:
    """Tell what a study hides, and what that has cost here."""
    privacy = study.privacy
    if privacy is None:
        words = "none: whoever holds an update may learn much of the data behind it"
        if study.audits:
            words += (
                f"; auditors are given the data of {study.audits} of each round's participants, "
                "and whoever asks those of all"
            )
        return [("privacy", words)]
    groups = f"sums over groups of {privacy.group} or more, {privacy.threshold} of whom stay"
    if privacy.epsilon_round is None:
        return [("privacy", f"{groups}; no noise, so no epsilon is claimed")]
    noise = f"clipped to {privacy.clip:g}, noise {privacy.noise:g}"
    return [
        ("privacy", f"{groups}; {noise}"),
        ("epsilon", f"{_costs(study, privacy)}, at delta {privacy.delta:g}"),
        ("spent here", _spent_here(privacy)),
    ]


def _costs(study: "StudyInfo", privacy: "Privacy") -> str:
    return (
        f"{epsilon_text(privacy.epsilon_round)} for one round, "
        f"{epsilon_text(privacy.epsilon_rounds)} for {study.rounds}"
    )


def _spent_here(privacy: "Privacy") -> str:
    if privacy.limit is None and not privacy.releases:
        return "nothing: this node has no part in it"
    wasted = f", {privacy.wasted} of them for nothing" if privacy.wasted else ""
    return (
        f"epsilon {epsilon_text(privacy.spent)} of {epsilon_text(privacy.limit)} allowed, "
        f"{privacy.releases} updates shown within sums{wasted}"
    )


def terms_text(study: "StudyInfo", allowed: float | None) -> str:
    """Say what taking part will show of this node, and what it will not; `allowed` is epsilon."""
    begun = f"study {short(study.study)} {study.name!r}, {study.model}"
    privacy = study.privacy
    if privacy is None:
        data = "its data stay here"
        if study.audits:
            data = (
                "auditors and members are given its data when it is drawn, and whoever else asks "
                "has them, drawn or not"
            )
        return (
            f"{begun}: everybody can have this node's updates, which tell much of its data; {data}"
        )
    hidden = (
        f"{begun}, in private mode.\n"
        "Hidden: this node's data, and its update. Others see sums over "
        f"groups of {privacy.group} or more.\n"
        "Not hidden: that and when it takes part, how long it trains and so roughly how much data "
        "it has, the sums, and the models made of them. If all others of a group work together, "
        "its own share of the noise alone covers its update."
    )
    if privacy.epsilon_round is None:
        return f"{hidden}\nNo noise is added: what the sums tell of one participant has no bound."
    return f"{hidden}\n{_meaning(study, privacy, allowed)}"


def joined_text(study: "StudyInfo") -> str:
    """Say that this node takes part."""
    mode = ", in private mode" if study.private else ""
    return f"this node takes part in study {short(study.study)}{mode}"


def _meaning(study: "StudyInfo", privacy: "Privacy", allowed: float | None) -> str:
    assert privacy.epsilon_round is not None
    most = privacy.epsilon_rounds
    bound = "no epsilon is allowed yet: say with --epsilon how much"
    if allowed is not None:
        most = allowed if most is None else min(most, allowed)
        bound = (
            f"at most {epsilon_text(allowed)} is spent here: this node leaves when one more round "
            "would pass that, so some may be left over"
        )
    factors = f"{_times(privacy.epsilon_round)} after one round"
    if most is not None and most > privacy.epsilon_round:
        factors += f", {_times(most)} at the most that may be spent"
    return (
        f"Cost: epsilon {_costs(study, privacy)}, at delta {privacy.delta:g}; {bound}. Whatever "
        "somebody concludes from what was shown is at most e^epsilon times as likely with this "
        f"node's data as without ({factors}), but for a chance of delta. It holds while a "
        "threshold of each group adds its noise. Failed rounds cost as much as others."
    )


def _times(epsilon: float) -> str:
    """Write e^epsilon for people; what has more than six digits is no bound for anybody."""
    if epsilon < _EXACT_UP_TO:
        return f"{exp(epsilon):.2f} times"
    digits = epsilon / log(10)
    return f"{exp(epsilon):,.0f} times" if digits < _DIGITS_MAX else f"10^{digits:.0f} times"


def budget_row(each: "BudgetInfo") -> Sequence[str]:
    """Give a study's line of the budget."""
    left = "-" if each.releases_left is None else str(each.releases_left)
    limits = (epsilon_text(each.epsilon), epsilon_text(each.limit))
    return (short(each.study), each.name, *limits, str(each.releases), str(each.wasted), left)


def together_text(budget: "Budget") -> str:
    """Say what all studies cost together."""
    if budget.epsilon is None:
        return "together: no bound, since something was shown without noise"
    return (
        f"together: epsilon {epsilon_text(budget.epsilon)} at delta {budget.delta:g}, whichever "
        "studies are put side by side"
    )


def bound_text(budget: "Budget") -> str:
    """Say what the owner lets all studies spend together."""
    if budget.limit is None:
        return "no bound over all studies: `ambientctl fl budget --limit EPSILON` sets one"
    room = "nothing more is shown" if _is_spent(budget) else "a release beyond that is refused"
    return f"all studies together may spend epsilon {budget.limit:g} here: {room}"


def _is_spent(budget: "Budget") -> bool:
    assert budget.limit is not None
    return budget.epsilon is None or budget.epsilon >= budget.limit
