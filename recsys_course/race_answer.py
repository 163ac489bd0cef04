"""What a race found, in sentences: what to do, why, how sure that is, and what to beware of."""

from __future__ import annotations

import numpy as np

from recsys_course.contenders import BASELINES
from recsys_course.race import Race
from recsys_course.report import METRIC

__all__ = ["UNIT", "answer", "raced_rows", "share_of", "what_it_is"]

UNIT = {"rating": "squared stars", "binary": "nats", "ranking": "recall"}

# What one does with a contender, and what it is.
WORDS = {
    "frozen": ("Leave the model as it is", "fitted to the past, and never again"),
    "per event": ("Update the model after each event", "learns each event once, when its label arrives"),
    "per event, rehearsing": (
        "Update the model after each event, with two old events beside each new one",
        "learns each event, and two older ones drawn at random",
    ),
    "every day": ("Update the model once a day", "learns the day's events at midnight UTC"),
    "full retrain, growing": ("Retrain from time to time on everything", "fitted anew to all events so far"),
    "full retrain, sliding": ("Retrain from time to time on the latest events", "fitted anew to the latest events"),
    "full retrain, stopped early": (
        "Retrain from time to time on everything, and stop early",
        "fitted anew to all events so far, with as many passes as the latest of them want",
    ),
    "warm retrain": (
        "Go over everything once more from time to time",
        "one pass over all events so far, from where the model stands",
    ),
    "hybrid": (
        "Update the model after each event, and retrain it from time to time",
        "learns each event, and is fitted anew from time to time",
    ),
    "hybrid, embeddings only between": (
        "Update the embeddings after each event, and retrain the whole from time to time",
        "embeddings learn each event, and all is fitted anew from time to time",
    ),
    "ensemble": (
        "Serve a mean of two models, one that learns each event and one that is retrained",
        "mean of per event and of full retrain, growing, weighted by recent loss",
    ),
    "fusion": (
        "Serve a regression on what the model that learns each event and the baselines say",
        "regression on per event and the baselines, learned online",
    ),
    "biases only": ("Keep biases of users and items, updated after each event", "no factors; learns each event"),
    "running means": ("Keep running means of users and items", "counts only, the latest labels most"),
    "recent popularity": ("Show what was popular lately", "counts items in a window, the same for everybody"),
    "personal frequency": ("Show people what they took lately", "counts each user's own items, the latest most"),
}


def answer(found: Race) -> dict[str, str]:
    """The verdict in sentences: what to do, why, how sure that is, a cheaper way, the pilot, and what to beware of.

    Returns
    -------
    dict from {"do", "reason", "gain", "cheaper", "factors", "pilot", "beware"} to a sentence, "" where there is none.
    """
    track, table, name = found.track, found.table, found.choice.name
    metric, unit = METRIC[track.task], UNIT[track.task]
    value, cost, seconds = (table[column].to_dict() for column in (metric, "examples per event", "CPU s"))
    said = {"do": f"{_do(name)}.", "reason": _sentence(found.choice.reason)}
    said |= dict.fromkeys(("cheaper", "factors", "pilot", "beware"), "")

    users, blocks = found.gain["user"], found.gain["block"]
    if name == "frozen":
        said["gain"] = "No contender is better than the frozen model beyond what chance explains."
    else:
        said["gain"] = (
            f"{metric} is {value[name]:.4f}, where the frozen model has {value['frozen']:.4f}: a gain of "
            f"{users.mean:.4f} {unit} an event, with 95 % intervals from {users.low:.4f} to {users.high:.4f} over "
            f"users and from {blocks.low:.4f} to {blocks.high:.4f} over blocks of time. It learns "
            f"{_examples(cost[name])} an event, and took {seconds[name]:.2g} CPU seconds for "
            f"{raced_rows(found):,} rows."
        )
        if min(users.low, blocks.low) <= 0:
            said["beware"] += "The gain over the frozen model is not certain: an interval holds zero. "
    share = table["share of gain"]
    near = share.index[(share >= 0.9) & (table["examples per event"] < 0.6 * cost[name])]
    if len(near):
        cheap = min(near, key=lambda one: (cost[one], -share.to_dict()[one]))
        said["cheaper"] = (
            f"Nearly as good for less: {cheap} reaches {share[cheap]:.0%} of the gain from the frozen model to the "
            f"best with {_examples(cost[cheap])} an event."
        )
    if name in BASELINES:
        best = next(one for one in table.index if one not in BASELINES)
        said["factors"] = (
            f"It has no factors. Of those that have, {best} did best: {metric} {value[best]:.4f}, "
            f"{share_of(share[best])} of the gain, with {_examples(cost[best])} an event."
        )
    chosen = found.pilot.name
    if not found.lost:
        said["pilot"] = f"The pilot on the first {track.start:,} rows would have chosen {chosen}, which diverged later."
    elif chosen == name:
        said["pilot"] = f"The pilot on the first {track.start:,} rows would have chosen the same."
    else:
        lost = found.lost["user"]
        said["pilot"] = (
            f"The pilot on the first {track.start:,} rows would have chosen {chosen}: {metric} {value[chosen]:.4f} on "
            f"the race. Its regret, what it loses beside the best, is {lost.mean + 0.0:.4f} {unit} an event "
            f"(over users {lost.low + 0.0:.4f} to {lost.high + 0.0:.4f})."
        )
    said["beware"] += " ".join(_warnings(found))
    return said


def _examples(count: float) -> str:
    return f"{count:.3g} example" + ("" if f"{count:.3g}" == "1" else "s")


def _do(name: str) -> str:
    if name in WORDS:
        return WORDS[name][0]
    return f"Update the model {name.replace(', 5 passes', ', with five passes over them')}"


def what_it_is(name: str) -> str:
    """A contender in half a sentence."""
    if name in WORDS:
        return WORDS[name][1]
    return "learns in windows of so many events" + (", each five times" if "5 passes" in name else "")


def share_of(value: float) -> str:
    """A share of the gain as it is written; a dash where nothing was gained."""
    return "–" if np.isnan(value) else f"{round(value, 2) + 0.0:.0%}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def raced_rows(found: Race) -> int:
    """Rows after the past."""
    return len(found.track.events) - found.track.start


def _warnings(found: Race) -> list[str]:
    track, out = found.track, []
    if track.score_every > 1:
        scored = len(np.unique(next(iter(found.results.values())).events))
        what = "basket" if "event" in track.events else "event"
        out.append(
            f"The catalogue is large: only one {what} in {track.score_every} was scored, {scored:,} in the race, "
            f"evenly over time. All were learned."
        )
    if found.diverged:
        out.append(f"Learning diverged on the way: {', '.join(found.diverged)}. They are not in the table.")
    raced = track.events["user"].iloc[track.start :].nunique()
    if raced < 100:
        out.append(f"Only {raced} users are in the race: intervals over so few are rough.")
    return out
