# %% [markdown]
# # 10b Exercises: Late labels and feedback loops
#
# These go with [chapter 10b](../10b_late_labels_and_feedback_loops.ipynb). Each asks you to replace the line that raises an error, and
# is followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
import pandas as pd

from recsys_course.bandits import regret, thompson, thompson_on_log
from recsys_course.data.bookstore import Bookstore, BookstoreConfig
from recsys_course.delays import OnlineLogistic, waiting

# %% [markdown]
# ## 1. A window that repairs itself
#
# *Objective 1.* A learner waits for a window of `window` seconds, and delays are exponential with a mean of `mean` seconds. So its predictions are too low by a known factor.
# Write `repaired(predictions, window, mean)`: what they should have been, an array, never above 1.


# %% answer="repaired"
def repaired(predictions, window, mean):
    ### BEGIN SOLUTION
    return np.minimum(np.asarray(predictions) / (1 - np.exp(-window / mean)), 1.0)
    ### END SOLUTION


# %% check="repaired" points=1
rng = np.random.default_rng(0)
n, p = 40_000, 0.45
when, late = np.arange(n), np.where(rng.random(n) < p, rng.exponential(100, n), np.nan)
for window in (30, 100, 300):
    model = OnlineLogistic(1, step_size=0.005)
    said = model.run(waiting(when, late, window), np.zeros((n, 1), int), when)[n // 2 :]
    assert abs(np.mean(repaired(said, window, 100)) - p) < 0.02, (
        f"window {window}: which share of purchases comes within the window?"
    )
assert np.allclose(repaired(np.array([0.9, 0.1]), 10, 100).max(), 1), "a probability is at most 1"


# %% wrong="repaired"
# Divides by the share that is missing.
def repaired(predictions, window, mean):
    return np.minimum(np.asarray(predictions) / np.exp(-window / mean), 1.0)


# %% wrong="repaired"
# Adds what is missing, as if it were the same for all.
def repaired(predictions, window, mean):
    return np.minimum(np.asarray(predictions) + np.exp(-window / mean), 1.0)


# %% [markdown]
# ## 2. Every exposure twice
#
# *Objective 2.* Another shop tells its learner of each exposure twice: at once, with label 0, and when a long window has closed, with the label that it then has, 0 or 1.
# Work out the share of ones among its lessons, and from it `weights_of(f, label)`: the importance weights, with the model's $f$ in the place of $p$, for two arrays of one shape.


# %% answer="twice"
def weights_of(f, label):
    ### BEGIN SOLUTION
    # Of n exposures come 2n lessons, np of them with a 1: the shares are p/2 and (2 - p)/2.
    return np.where(np.asarray(label) == 1, 2.0, 2 * (1 - f) / (2 - f))
    ### END SOLUTION


# %% check="twice" points=2
grid = np.linspace(0.05, 0.95, 19)
zero, one = weights_of(grid, np.zeros(19)), weights_of(grid, np.ones(19))
assert np.shape(zero) == np.shape(one) == (19,), "one weight for each f"
assert (zero > 0).all() and (one > 0).all(), "a weight is above zero"
at_truth = (2 - grid) * zero * grid + grid * one * (grid - 1)
assert np.allclose(at_truth, 0), (
    "at f = p the expected gradient should be zero: how many zeros and ones come of one exposure?"
)
for p in (0.1, 0.5, 0.9):
    gradient = (2 - p) * zero * grid + p * one * (grid - 1)
    assert (np.sign(gradient.round(9)) == np.sign((grid - p).round(9))).all(), (
        "the expected gradient should point where f - p does"
    )
shares = 1 - grid / 2, grid / 2
assert np.allclose(shares[0] * zero + shares[1] * one, 1), (
    "importance weights have a mean of 1 over the lessons: the share that should be over the share that is"
)


# %% wrong="twice"
# The chapter's weights, for another stream.
def weights_of(f, label):
    return np.where(np.asarray(label) == 1, 1 + f, (1 + f) * (1 - f))


# %% wrong="twice"
# Takes the zeros for once.
def weights_of(f, label):
    return np.where(np.asarray(label) == 1, 2.0, 2 * (1 - f))


# %% [markdown]
# ## 3. Catch the leak
#
# *Objective 3.* Colleagues have written replays. Each is a function of a table and a delay in seconds for each row, and returns one prediction per row.
# Write `leaks(replayer, events, delay)`: `True` if any label reaches a prediction at or before the moment at which it comes (timestamp plus delay), else `False`. You cannot read
# their code, but you can run it, with any labels you like. A dozen moments are enough; they have to be well chosen, since one of them leaks at the very second.


# %%
def table(seed=0, n=300):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 200, n))
    events = pd.DataFrame({"label": rng.integers(1, 6, n).astype(float), "timestamp": times})
    return events, rng.integers(0, 40, n).astype(float)


def mean_of_known(events, is_known):
    label, times = events["label"].to_numpy(), events["timestamp"].to_numpy()
    known = [is_known(times[row]) & (np.arange(len(events)) < row) for row in range(len(events))]
    return np.array([label[k].mean() if k.any() else 3.0 for k in known])


def honest(events, delay):
    comes = events["timestamp"].to_numpy() + delay
    return mean_of_known(events, lambda now: comes < now)


def without_delay(events, delay):
    times = events["timestamp"].to_numpy()
    return mean_of_known(events, lambda now: times < now)


def same_second(events, delay):
    comes = events["timestamp"].to_numpy() + delay
    return mean_of_known(events, lambda now: comes <= now)


def centred(events, delay):
    return honest(events, delay) - events["label"].mean() + 3


# %% answer="leaks"
def leaks(replayer, events, delay):
    ### BEGIN SOLUTION
    times = events["timestamp"].to_numpy()
    comes = times + delay
    clean = replayer(events, delay)
    # Moments at which something comes and something is predicted: a leak of the same second shows there.
    both = np.intersect1d(times, comes)
    for moment in both[:: max(1, len(both) // 12)]:
        poisoned = events.assign(label=np.where(comes < moment, events["label"], -99.0))
        before = times <= moment
        if not np.array_equal(clean[before], replayer(poisoned, delay)[before]):
            return True
    return False
    ### END SOLUTION


# %% check="leaks" points=3
for seed in range(3):
    events, delay = table(seed)
    assert leaks(honest, events, delay) is False, (
        "the honest one does nothing wrong: do you poison labels that have come, or look at predictions after the moment?"
    )
    assert leaks(without_delay, events, delay) is True, (
        "this one learns without waiting: are labels that are old but late poisoned too?"
    )
    assert leaks(centred, events, delay) is True, "this one has seen the mean of all labels"
    assert leaks(same_second, events, delay) is True, (
        "this one learns labels of the same second: poison what comes at the moment, too, and look at it"
    )


# %% wrong="leaks"
# Poisons only what happens later, and not what is late.
def leaks(replayer, events, delay):
    times = events["timestamp"].to_numpy()
    clean = replayer(events, delay)
    for moment in np.unique(times)[::12]:
        poisoned = events.assign(label=np.where(times < moment, events["label"], -99.0))
        before = times <= moment
        if not np.array_equal(clean[before], replayer(poisoned, delay)[before]):
            return True
    return False


# %% wrong="leaks"
# Compares all predictions, also those that should change.
def leaks(replayer, events, delay):
    poisoned = events.assign(label=np.where(events.index < 100, events["label"], -99.0))
    return not np.array_equal(replayer(events, delay), replayer(poisoned, delay))


# %% [markdown]
# ## 4. A log made fit to judge
#
# *Objective 6.* `thin(arms, propensities, rng)` gets the arms of a log and, for each row, the probability with which its arm was shown. It returns a boolean array: rows that stay, such that
# among them each arm was as likely as any other. Keep as many as you can: the least likely arm of the log should lose no row.


# %% answer="thin"
def thin(arms, propensities, rng):
    ### BEGIN SOLUTION
    propensities = np.asarray(propensities, float)
    return rng.random(len(arms)) < propensities.min() / propensities
    ### END SOLUTION


# %% check="thin" points=2
P = np.array([0.5, 0.35, 0.2, 0.1])
shares = np.array([0.1, 0.2, 0.3, 0.4])
rng = np.random.default_rng(1)
truth = np.mean([P[thompson(np.tile(P, (400, 1)), rng)] for _ in range(200)], axis=0)
truth = np.cumsum(truth) / np.arange(1, 401)
off, kept_shares = [], []
for _ in range(80):
    arms = rng.choice(4, size=2000, p=shares)
    rewards = (rng.random(2000) < P[arms]) * 1.0
    stays = np.asarray(thin(arms, shares[arms], rng))
    assert stays.dtype == bool and stays.shape == (2000,), "a boolean for each row"
    assert stays[arms == 0].all(), "the least likely arm need lose no row"
    kept_shares.append(np.bincount(arms[stays], minlength=4) / stays.sum())
    used = thompson_on_log(arms[stays], rewards[stays], 4, rng)
    off.append(rewards[stays][used].mean() - truth[min(used.sum(), 400) - 1])
assert np.allclose(np.mean(kept_shares, axis=0), 0.25, atol=0.01), (
    f"arms that stay: {np.mean(kept_shares, axis=0).round(2)}; a row should stay in inverse proportion to its propensity"
)
assert abs(np.mean(off)) < 0.02, "the replay on the thinned log is off"


# %% wrong="thin"
# Keeps what was likely.
def thin(arms, propensities, rng):
    return rng.random(len(arms)) < propensities / np.max(propensities)


# %% wrong="thin"
# Keeps everything.
def thin(arms, propensities, rng):
    return np.ones(len(arms), bool)


# %% [markdown]
# ## 5. Only the last so many
#
# *Objective 5.* The chapter forgets by fading. Write `pull(arms, rewards, rng)` for a Thompson sampler of eight arms that looks at a *window* of the latest pulls only; how many is for you to choose.
# `arms` and `rewards` are arrays of all pulls so far, oldest first, perhaps empty. It returns the arm, a number from 0 to 7. In a world that changes it must lose at least an eighth less than Thompson without
# forgetting, and in a still one less than three tenths of what pulling by lot loses. Choose the window on worlds of your own, with other seeds than the check's.


# %%
BOOKS = np.array([0.40, 0.32, 0.28, 0.24, 0.20, 0.16, 0.12, 0.08])


def changing(seed, steps=6000, parts=4):
    rng = np.random.default_rng(seed)
    return np.repeat([rng.permutation(BOOKS) for _ in range(parts)], steps // parts, axis=0)


def live(pull, world, seed):
    """Regret of a policy of this form, all steps together."""
    rng = np.random.default_rng(seed)
    arms, rewards = np.zeros(len(world), int), np.zeros(len(world))
    for step in range(len(world)):
        arms[step] = pull(arms[:step], rewards[:step], rng)
        rewards[step] = rng.random() < world[step, arms[step]]
    return regret(world, arms).sum()


# %% answer="window"
def pull(arms, rewards, rng):
    ### BEGIN SOLUTION
    arms, rewards = arms[-1200:], rewards[-1200:]
    n = np.bincount(arms, minlength=8)
    won = np.bincount(arms, rewards, minlength=8)
    return int(np.argmax(rng.beta(1 + won, 1 + n - won)))
    ### END SOLUTION


# %% check="window" points=2
assert pull(np.zeros(0, int), np.zeros(0), np.random.default_rng(0)) in range(8), (
    "at the start there are no pulls"
)
mine = np.mean([live(pull, changing(s), s) for s in range(6)])
stationary = np.mean(
    [
        regret(changing(s), thompson(changing(s), np.random.default_rng(s))).sum()
        for s in range(40)
    ]
)
assert mine < 0.88 * stationary, (
    f"in the changing worlds yours loses {mine:.0f}, Thompson without forgetting {stationary:.0f}: is the window right?"
)
still = np.tile(BOOKS, (6000, 1))
calm = np.mean([live(pull, still, s) for s in range(3)])
by_lot = 6000 * (0.4 - BOOKS.mean())
assert calm < 0.3 * by_lot, (
    f"in the still world yours loses {calm:.0f}, pulling by lot {by_lot:.0f}: the window is too short to learn anything"
)


# %% wrong="window"
# Forgets nothing.
def pull(arms, rewards, rng):
    n, won = np.bincount(arms, minlength=8), np.bincount(arms, rewards, minlength=8)
    return int(np.argmax(rng.beta(1 + won, 1 + n - won)))


# %% wrong="window"
# Forgets nearly everything.
def pull(arms, rewards, rng):
    n, won = (
        np.bincount(arms[-30:], minlength=8),
        np.bincount(arms[-30:], rewards[-30:], minlength=8),
    )
    return int(np.argmax(rng.beta(1 + won, 1 + n - won)))


# %% [markdown]
# ## 6. A page that finds the best
#
# *Objectives 4 and 5.* Design `my_page(sold, shown, rng)`: which five of the hundred books stand on the page today, five different numbers, from how often each was sold and shown so far. The chapter's rules found
# three and a half of the five best without exploring, and lost a tenth of the places with it. Yours should find more *and* lose less than the exploring rule. There is more than one way; sixty days are short, and who explores for all of them (Thompson sampling does, here) has no time to profit.


# %%
N_READERS, N_BOOKS, PAGE = 200, 100, 5
config = BookstoreConfig.stationary(
    n_users=N_READERS, n_books=N_BOOKS, new_users_per_day=0, new_books_per_day=0, appeal_sd=0.8
)


def truth_of(seed):
    world = Bookstore(np.random.default_rng(seed), config)
    return world.p_purchase(
        np.arange(N_READERS)[:, None], np.arange(N_BOOKS)[None, :], config.start
    )


def shop(page_of, seed, days=60, explore=0.0):
    """Of the five best on the page in the last ten days, and purchases lost per exposure, all days added up."""
    rng, truth = np.random.default_rng(500 + seed), truth_of(seed)
    best = np.argsort(-truth.mean(axis=0))[:PAGE]
    sold, shown, found, lost = np.zeros(N_BOOKS), np.zeros(N_BOOKS), [], 0.0
    readers = np.repeat(np.arange(N_READERS), PAGE)
    for day in range(days):
        page = np.asarray(page_of(sold.copy(), shown.copy(), rng))
        assert len(np.unique(page)) == PAGE, "five different books"
        books = np.tile(page, N_READERS)
        anything = rng.random(len(books)) < (1.0 if day == 0 else explore)
        books[anything] = rng.integers(N_BOOKS, size=anything.sum())
        buys = rng.random(len(books)) < truth[readers, books]
        sold += np.bincount(books, buys, N_BOOKS)
        shown += np.bincount(books, minlength=N_BOOKS)
        found.append(len(np.intersect1d(page, best)))
        lost += truth[:, best].mean() - truth[readers, books].mean()
    return np.mean(found[-10:]), lost


def by_rate(sold, shown, rng):
    return np.argsort(-(sold / np.maximum(shown, 1) + 1e-9 * rng.random(N_BOOKS)))[:PAGE]


# %% answer="page"
def my_page(sold, shown, rng):
    ### BEGIN SOLUTION
    # An upper bound with a narrow width: optimism that ends soon, since sixty days are not long.
    n = np.maximum(shown, 1)
    bound = np.where(shown > 0, sold / n, 1) + 0.15 * np.sqrt(np.log(shown.sum() + 2) / n)
    return np.argsort(-(bound + 1e-9 * rng.random(N_BOOKS)))[:PAGE]
    ### END SOLUTION


# %% check="page" points=3
mine = np.mean([shop(my_page, seed) for seed in range(30, 55)], axis=0)
greedy = np.mean([shop(by_rate, seed) for seed in range(30, 55)], axis=0)
explores = np.mean([shop(by_rate, seed, explore=0.1) for seed in range(30, 55)], axis=0)
assert mine[0] > greedy[0] + 0.3, (
    f"yours finds {mine[0]:.1f} of the five best, the rate alone {greedy[0]:.1f}: does a book with a bad start get another chance?"
)
assert mine[1] < explores[1], (
    f"yours loses {mine[1]:.2f}, the exploring rule {explores[1]:.2f}: explore where it may pay, and less as you know more"
)


# %% wrong="page"
# Best sellers.
def my_page(sold, shown, rng):
    return np.argsort(-(sold + 1e-9 * rng.random(N_BOOKS)))[:PAGE]


# %% wrong="page"
# Explores, as much as ever, for ever.
def my_page(sold, shown, rng):
    page = by_rate(sold, shown, rng)[:3]
    return np.append(page, rng.choice(np.setdiff1d(np.arange(N_BOOKS), page), 2, replace=False))
