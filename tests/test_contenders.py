"""Who races, on what track, and with which settings: each its own, chosen on the past, and said where they end."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_race import plays, ratings

from recsys_course import contenders as who
from recsys_course import data, tuning
from recsys_course.contenders import Family, composed, contenders, families
from recsys_course.data.dataset import Card, Dataset
from recsys_course.events import EventsError
from recsys_course.models import MatrixFactorization, NeuralNetwork, RunningMeans
from recsys_course.report import quality
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain
from recsys_course.track import make_track
from recsys_course.tuning import choose_settings, warm_up


def names(track, which):
    return [family.name for family in families(track, which)]


def listening():
    return Dataset(plays(), None, None, Card("plays", "Plays", "ranking"))


def test_the_race_is_a_part_of_all_and_each_has_the_families_that_it_needs():
    shop = data.bookstore(1600, rng=np.random.default_rng(0))
    for track in (make_track(ratings()), make_track(listening()), make_track(shop, model="network")):
        small, whole = names(track, "race"), names(track, "all")
        assert len(set(whole)) == len(whole)
        assert [name for name in whole if name in small] == small
        for which in ("race", "all"):
            for family in families(track, which):
                assert family.after is None or family.after in names(track, which)
    assert "full retrain, stopped early" not in names(make_track(listening()), "all")
    assert "personal frequency" in names(make_track(listening()), "race")
    assert not any("optimiser" in name or "embeddings" in name for name in names(make_track(ratings()), "all"))
    with pytest.raises(ValueError, match="which"):
        families(make_track(ratings()), "some")


def test_a_network_is_offered_its_own_passes_and_steps_and_what_counts_those_of_a_factorisation():
    rated = make_track(ratings(), model="network")
    offered = {family.name: family.rounds for family in families(rated, "all")}
    full = offered["full retrain, growing"][0]({})
    assert full["epochs"] == who.NETWORK_EPOCHS == offered["frozen, Adam"][0]({})["epochs"]
    assert offered["biases only"][0]({})["epochs"] == who.EPOCHS
    once, windows = (offered[name][0]({"step_size": 1.0}) for name in ("per event", f"every {rated.window:,} events"))
    assert list(once["update_step_size"]) == list(who.NETWORK_UPDATES)
    assert list(windows["update_step_size"]) == list(who.UPDATES)
    # Adam's steps do not follow the spread of the labels; those of the others do.
    wide = replace(rated, step_size=rated.step_size / 4)
    far = {family.name: family.rounds for family in families(wide, "all")}
    assert far["frozen, Adam"][0]({}) == offered["frozen, Adam"][0]({})
    assert np.allclose(np.multiply(4, far["frozen"][0]({})["step_size"]), offered["frozen"][0]({})["step_size"])


def test_each_contender_does_what_its_name_says():
    track = make_track(ratings(), model="network")
    settings = {name: {"epochs": 3, "step_size": 0.1, "update_step_size": 0.01} for name in names(track, "all")} | {
        "running means": {"forget": 0.1},
        "every day": {"epochs": 3, "step_size": 0.1, "passes": 5},
    }
    racing = contenders(track, settings)
    assert list(racing) == names(track, "all")
    assert isinstance(racing["frozen"], Frozen) and isinstance(racing["frozen"].recipe, NeuralNetwork)
    assert isinstance(racing["biases only"].recipe, MatrixFactorization) and racing["biases only"].recipe.n_factors == 0
    assert racing["per event"].update_every == 1 and racing["every 15 events"].update_every == 15
    assert racing["every 15 events, 5 passes"]._lessons.passes == 5 and racing["every day"]._lessons.passes == 5
    assert racing["per event, rehearsing"]._lessons.rehearse == 2
    growing, sliding = racing["full retrain, growing"], racing["full retrain, sliding"]
    assert growing.window is None and sliding.window == track.latest and sliding.retrain_every < growing.retrain_every
    assert racing["warm retrain"].warm and not growing.warm
    assert racing["full retrain, stopped early"].recipe.recipe.epochs == 32
    assert type(racing["hybrid"]) is Hybrid and racing["hybrid"].recipe.update_only == "all"
    assert racing["hybrid, embeddings only between"].recipe.update_only == "embeddings"
    carried, fresh = (racing[name].recipe for name in ("per event, Adam", "per event, fresh optimiser"))
    assert carried.carry_optimizer and not fresh.carry_optimizer and type(carried.optimizer) is type(fresh.optimizer)
    assert racing["per event"].recipe.update_step_size == 0.01 and racing["per event"].recipe.epochs == 3
    other = contenders(replace(track, seed=1), settings)["frozen"].recipe.rng
    assert other.random() != contenders(track, settings)["frozen"].recipe.rng.random()


def test_a_network_runs_on_labels_and_not_on_rankings():
    track = make_track(ratings(), model="network", quick=True)
    those = [
        family for family in families(track, "all") if family.name in ("frozen", "full retrain, growing", "hybrid")
    ]
    settings, _ = choose_settings(track, those)
    raced = track.run(contenders(track, settings))
    assert set(raced) == {"frozen", "full retrain, growing", "hybrid"}
    assert raced["hybrid"].cost.fits == raced["full retrain, growing"].cost.fits == 5
    assert settings["hybrid"]["epochs"] == settings["full retrain, growing"]["epochs"]
    with pytest.raises(ValueError, match="does not rank"):
        make_track(listening(), model="network")
    with pytest.raises(ValueError, match="factorization, network"):
        make_track(ratings(), model="forest")


def forgetting(*values):
    return Family("means", lambda c: Incremental(RunningMeans(**c)), (lambda best: {"forget": values},))


def test_a_best_value_at_the_edge_is_followed_beyond_it_and_what_stays_there_is_named():
    track = make_track(ratings(jump=0.0))  # tastes mix, so that means see noise: the more they forget the better
    settings, tried = choose_settings(track, [forgetting(0.3, 0.4, 0.5)])
    assert tried["forget"].tolist() == pytest.approx([0.3, 0.4, 0.5, 0.5 / 0.8, 0.5 / 0.8 / 0.8])
    assert tried["RMSE"].is_monotonic_decreasing and settings["means"]["forget"] == 0.78125
    assert tried["edge"].tolist() == ["", "", "", "", "forget"]
    settings, tried = choose_settings(track, [forgetting(0.2, 0.4, 0.8)])  # beyond it lies what is not allowed
    assert len(tried) == 3 and settings["means"]["forget"] == 0.8
    settings, tried = choose_settings(track, [forgetting(0.1, 0.5)])  # two values were no search
    assert len(tried) == 2 and not tried["edge"].any()


def test_what_has_nothing_beyond_it_is_no_edge():
    def trial(**settings):
        return tuning._Trial(forgetting(0.1), 1, settings)

    def edges(best, *others):
        return tuning._edges(best, [best, *others], best.settings)

    assert edges(trial(forget=0.0), trial(forget=0.1), trial(forget=0.2)) == []
    assert edges(trial(epochs=1), trial(epochs=2), trial(epochs=5)) == []
    assert edges(trial(epochs=2), trial(epochs=5), trial(epochs=10)) == [("epochs", 1)]
    assert edges(trial(epochs=20), trial(epochs=5), trial(epochs=10)) == [("epochs", 40)]
    assert edges(trial(epochs=5, step_size=0.1), trial(epochs=2, step_size=0.2), trial(epochs=9, step_size=0.4)) == [
        ("step_size", pytest.approx(0.05))
    ]


def test_a_family_begins_with_what_was_chosen_for_the_one_before():
    track = make_track(ratings(), quick=True)
    three = ("per event", "per event, rehearsing", "full retrain, growing")
    those = [family for family in families(track) if family.name in three]
    settings, tried = choose_settings(track, those[::-1])
    first, then = (settings[name] for name in ("per event", "per event, rehearsing"))
    assert (first["epochs"], first["step_size"]) == (then["epochs"], then["step_size"])
    updates = tried.loc[tried["family"] == "per event, rehearsing", "update_step_size"]
    assert len(updates) >= 3 and set(updates[:3] / first["step_size"]) == {0.3, 1.0, 3.0}
    with pytest.raises(ValueError, match="'per event'"):
        choose_settings(track, [those[1]])


def test_what_diverges_everywhere_is_an_error_and_elsewhere_a_loss():
    track = make_track(ratings(), quick=True)

    def steps(*values):
        return Family("wild", lambda c: Frozen(track.model(4, c)), (lambda best: {"step_size": values, "epochs": [9]},))

    settings, tried = choose_settings(track, [steps(0.01, 1e7)])
    assert settings["wild"]["step_size"] == 0.01 and tried["RMSE"].isna().tolist() == [False, True]
    with pytest.raises(EventsError, match="diverges with each step that was tried for 'wild'"):
        choose_settings(track, [steps(1e7, 1e8, 1e9)])


def test_settings_that_were_chosen_once_are_found_again(tmp_path, monkeypatch):
    track, seen = make_track(ratings(), quick=True), []
    those = [family for family in families(track) if family.name in ("frozen", "running means")]
    once = choose_settings(track, those, cache=tmp_path, progress=seen.append)
    assert seen[0] == 0 and seen[-1] == 1 and seen == sorted(seen)
    monkeypatch.setattr("recsys_course.grid.replay", lambda *a, **k: pytest.fail("replayed again"))
    again = choose_settings(track, those, cache=tmp_path)
    assert once[0] == again[0]
    pd.testing.assert_frame_equal(once[1], again[1])


def test_parts_of_a_track_are_the_past_and_the_race():
    track = make_track(ratings())
    strategy = Incremental(RunningMeans(), every=15)
    whole, early = track.replay(strategy), track.replay(strategy, "past")
    assert (whole.rows[0], whole.rows[-1], early.rows[0], early.rows[-1]) == (600, 1499, 300, 599)
    assert quality(track.run({"it": strategy}, "past")["it"]) == quality(early)
    with pytest.raises(ValueError, match="'race' or 'past'"):
        track.replay(strategy, "future")


def test_what_is_composed_needs_its_members():
    track = make_track(ratings(), quick=True)
    chosen = {"epochs": 3, "step_size": 0.01, "update_step_size": 0.01}
    racing = contenders(track, {"per event": chosen, "full retrain, growing": chosen, "running means": {}})
    raced = track.run(racing)
    assert set(composed(track, raced, track.events)) == {"ensemble", "fusion"}
    raced.pop("full retrain, growing")
    assert set(composed(track, raced, track.events)) == {"fusion"}
    assert isinstance(racing["full retrain, growing"], PeriodicRetrain)


def test_warming_up_calls_each_contender_and_minds_no_stream(monkeypatch):
    track = make_track(ratings(), model="network")
    called = []
    monkeypatch.setattr(tuning.Track, "replay", lambda self, strategy: called.append(strategy.name))
    warm_up(track, families(track, "all"))
    assert len(called) == len(names(track, "all")) and "incremental, every 20 events, 5 passes" in called
    monkeypatch.undo()
    warm_up(replace(track, events=track.events.assign(timestamp=5)), families(track, "all"))
