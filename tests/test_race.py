"""The race on a learner's own data: decided on the past, bounded in cost, and a report to be believed."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import joblib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from recsys_course import cli, contenders, data, race_report
from recsys_course import race as racing
from recsys_course import track as tracks
from recsys_course.blending import ensemble
from recsys_course.data.dataset import Card, Dataset
from recsys_course.events import EventsError
from recsys_course.models import MatrixFactorization
from recsys_course.pilot import choose
from recsys_course.race import race
from recsys_course.race_answer import answer
from recsys_course.race_figures import _spread, draw_frontier
from recsys_course.report import compare, quality
from recsys_course.strategies import Incremental
from recsys_course.track import make_track


def ratings(n=1500, seed=0, jump=1.5):
    """Two kinds of users and of items that like each other, until half of the users change their minds."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(40, size=n), rng.integers(30, size=n)
    after = np.arange(n) > 0.7 * n
    taste = np.where(after & (user % 4 < 2), -1, 1) * (2 * (user % 2) - 1) * (2 * (item % 2) - 1)
    label = 3 + taste + 0.02 * user + jump * after + rng.normal(0, 0.5, n)
    table = pd.DataFrame({"user": user, "item": item, "label": label.round(2), "timestamp": np.arange(n) * 600})
    return Dataset(table, None, None, Card("mine", "Mine", "rating", (-3.0, 9.0)))


@pytest.fixture(scope="module")
def found():
    return race(ratings(), quick=True)


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what a reader sees, links, and the rows of each table."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""
        self.tables, self.alts = {}, []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.links += [attrs[name] for name in ("src", "href", "srcset", "data") if name in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.alts.append(attrs["alt"])
        if tag == "table":
            self._rows = self.tables.setdefault(attrs["id"], [])
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" in self.open:
            assert "url(" not in text and "@import" not in text
            return
        self.text += text
        if ("td" in self.open or "th" in self.open) and "small" not in self.open:
            self._rows[-1][-1] += text


def page_of(found, dataset=None):
    return Page(race_report.to_html(found, dataset or ratings()))


def without_time(found):
    return found.table.drop(columns="CPU s")


# ------------------------------------------------------------------------------------------------ the race


def test_all_are_raced_and_the_verdict_is_that_of_choose(found):
    expected = {
        "frozen", "per event", "per event, rehearsing", "every 15 events", "every 15 events, 5 passes", "every day",
        "full retrain, growing", "full retrain, sliding", "hybrid", "biases only", "running means", "ensemble",
        "fusion",
    }  # fmt: skip
    assert set(found.table.index) == set(found.pilot.table.index) == set(found.results) == expected
    assert found.choice.name == choose(found.results, rng=np.random.default_rng(0)).name
    for name, result in found.results.items():
        assert found.table.at[name, "RMSE"] == quality(result)
        assert len(result.rows) == 900 and result.rows[0] == 600
    assert found.results["full retrain, growing"].cost.fits == 5
    assert found.results["full retrain, sliding"].cost.fits == 11  # half the interval, and one more fits in


def test_shares_and_intervals_are_against_frozen_and_the_best(found):
    table, best = found.table, found.choice.best
    assert table.at["frozen", "share of gain"] == 0 and table.at[best, "share of gain"] == 1
    assert table.index[0] == best and table["RMSE"].is_monotonic_increasing
    gap = compare(found.results["frozen"], found.results[best], by="block", rng=np.random.default_rng(0))
    row = table.loc["frozen"]
    assert (row["worse by"], row["low, blocks"], row["high, blocks"]) == pytest.approx(tuple(gap))
    gain = compare(found.results["frozen"], found.results[found.choice.name], by="user", rng=np.random.default_rng(0))
    assert tuple(found.gain["user"]) == pytest.approx(tuple(gain)) and gain.low > 0
    lost = found.lost["user"]
    assert lost.mean == pytest.approx(
        (found.table.at[found.pilot.name, "RMSE"] ** 2) - found.table.at[found.choice.best, "RMSE"] ** 2
    )


def test_the_pilot_is_a_replay_of_the_past_with_the_settings_chosen(found):
    track = found.track
    chosen = found.settings[found.settings["chosen"] & (found.settings["family"] == "per event")].iloc[-1]
    model = MatrixFactorization(
        regularization=0.1,
        label_range=(-3.0, 9.0),
        epochs=int(chosen["epochs"]),
        step_size=chosen["step_size"],
        update_step_size=chosen["update_step_size"],
        rng=np.random.default_rng(0),
    )
    again = track.replay(Incremental(model), "past")
    assert found.pilot.table.at["per event", "RMSE"] == quality(again) == chosen["RMSE"]


def test_the_best_that_was_tried_is_chosen(found):
    for _, tried in found.settings.groupby(["family", "round"]):
        assert tried["chosen"].sum() == 1
        assert tried.loc[tried["chosen"], "RMSE"].item() == tried["RMSE"].min()
    # Each has settings of its own; an ensemble and a fusion have none.
    assert set(found.settings["family"]) == set(found.table.index) - {"ensemble", "fusion"}


def test_what_is_scored_decides_nothing_beforehand(found):
    poisoned = ratings()
    poisoned.events.loc[600:, "label"] = 9.0 - poisoned.events.loc[600:, "label"] * np.sin(np.arange(900))
    own = Card("mine", "Mine", "rating", (-9.0, 20.0), access="own")
    clean, other = (race(replace(d, card=own), quick=True) for d in (ratings(), poisoned))
    pd.testing.assert_frame_equal(clean.settings, other.settings)
    pd.testing.assert_frame_equal(clean.pilot.table, other.pilot.table)
    assert clean.pilot.name == other.pilot.name and clean.pilot.reason == other.pilot.reason
    assert clean.table.at["frozen", "RMSE"] != other.table.at["frozen", "RMSE"]
    assert clean.track.label_range == (ratings().events["label"][:600].min(), ratings().events["label"][:600].max())


def test_a_seed_gives_the_same_whether_one_runs_or_several(found):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        again = race(ratings(), quick=True)
    pd.testing.assert_frame_equal(without_time(found), without_time(again))
    pd.testing.assert_frame_equal(found.settings, again.settings)
    pd.testing.assert_frame_equal(found.windows, again.windows)
    # Names of users and items say nothing: ids of another kind give the same.
    renamed = ratings()
    events = renamed.events.assign(user="u" + renamed.events["user"].astype(str), item=renamed.events["item"] + 7)
    named = race(replace(renamed, events=events), quick=True)
    pd.testing.assert_frame_equal(without_time(found), without_time(named))


def test_a_step_that_diverges_loses_and_is_no_error(monkeypatch):
    monkeypatch.setattr(contenders, "QUICK_STEPS", (1.0, 1e6))
    monkeypatch.setattr(contenders, "QUICK_UPDATES", (1e9, 1.0))
    ran = race(ratings(), quick=True)
    assert ran.settings["RMSE"].isna().any()
    assert ran.settings.loc[ran.settings["chosen"], "RMSE"].notna().all()
    assert not ran.diverged


def test_a_contender_that_diverges_in_the_race_is_named_and_left_out(monkeypatch):
    whole = racing.contenders

    def with_a_wild_one(track, settings):
        wild = track.model(16, {"epochs": 3, "step_size": 0.01, "update_step_size": 1e9})
        return {**whole(track, settings), "per event": Incremental(wild)}

    monkeypatch.setattr(racing, "contenders", with_a_wild_one)
    ran = race(ratings(), quick=True)
    assert ran.diverged == ["per event"]
    assert not {"per event", "ensemble", "fusion"} & set(ran.table.index)
    assert "diverged on the way: per event" in answer(ran)["beware"]
    assert "diverged on the way: per event" in page_of(ran).text


def test_yes_and_no_and_a_delay_that_reaches_all():
    shop = data.bookstore(1600, rng=np.random.default_rng(1))
    at_once, late = (race(shop, delay=delay, quick=True) for delay in (None, "1h"))
    for name in ("per event", "biases only", "ensemble", "fusion"):
        assert np.median(at_once.results[name].staleness) < 600
        assert late.results[name].staleness.min() >= 3600
    members = [late.results[name] for name in ("per event", "full retrain, growing")]
    late_too = ensemble(members, late.track.events, delay="1h")  # it learns weights, and must not see labels early
    np.testing.assert_array_equal(late.results["ensemble"].scores, late_too.scores)
    assert "running means" not in late.table.index and "log loss" in late.table.columns
    assert late.table["log loss"].between(0.2, 1.5).all()
    assert "late, by 1h" in page_of(late, shop).text
    with pytest.raises(EventsError, match="too late"):
        make_track(shop, delay="30D")


def plays(n=1200, seed=0, again=True):
    """People who play the same few tracks again and again, or, with ``again`` off, each track at most once."""
    rng = np.random.default_rng(seed)
    user = rng.integers(30, size=n)
    item = (user * 3 + rng.integers(4, size=n)) % 60 if again else rng.integers(2000, size=n)
    return pd.DataFrame({"user": user, "item": item, "label": 1.0, "timestamp": np.arange(n) * 900})


def test_what_people_take_again_stays_in_the_contest():
    card = Card("plays", "Plays", "ranking")
    again = race(Dataset(plays(), None, None, card), quick=True)
    assert not again.track.exclude_had
    assert again.choice.best == "personal frequency"
    assert again.table["recall@10"].is_monotonic_decreasing
    assert not {"ensemble", "fusion", "running means"} & set(again.table.index)
    best_of_factors = again.table.index.difference(contenders.BASELINES, sort=False)[0]
    assert f"Of those that have, {best_of_factors} did best" in answer(again)["factors"]
    assert (again.table["share of gain"] <= 1).all() and again.gain["user"].low > 0
    once = make_track(Dataset(plays(again=False), None, None, card))
    assert once.exclude_had


def test_a_large_catalogue_is_scored_in_part_and_the_report_says_so(monkeypatch):
    listening = Dataset(plays(), None, None, Card("plays", "Plays", "ranking"))
    whole = race(listening, quick=True)
    monkeypatch.setattr(tracks, "MOST_SCORES", 720 * 60 // 3)
    part = race(listening, quick=True)
    assert part.track.score_every == 3
    frozen, all_of_it = part.results["frozen"], whole.results["frozen"]
    np.testing.assert_array_equal(frozen.rows, all_of_it.rows[::3])
    assert part.results["per event"].cost.examples == whole.results["per event"].cost.examples
    assert part.table.at["per event", "examples per event"] == whole.table.at["per event", "examples per event"]
    said = "one event in 3 was scored, 240 in the race"
    assert said in answer(part)["beware"] and said in page_of(part, listening).text
    assert "was scored" not in page_of(whole, listening).text


def test_on_real_ratings():
    if not data.available("movietweetings"):
        pytest.skip("MovieTweetings is not on this machine")
    tweets = data.movietweetings()
    few = replace(tweets, events=tweets.events.head(4000))
    ran = race(few, quick=True)
    assert ran.table.at["per event", "RMSE"] < ran.table.at["frozen", "RMSE"]
    assert ran.track.label_range == (0.0, 10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.head(300), "too few to race on"),
        (lambda t: t.assign(user=1), "one user only"),
        (lambda t: t.assign(label=3.0), "nothing to predict"),
        (lambda t: t.assign(timestamp=5), "too few to race on"),
    ],
)
def test_streams_that_cannot_be_raced_on_get_one_clear_word(change, message):
    dataset = ratings()
    with pytest.raises(EventsError, match=message):
        race(replace(dataset, events=change(dataset.events).reset_index(drop=True)), quick=True)


# ---------------------------------------------------------------------------------------------- the report


def test_the_page_stands_alone_and_shows_every_contender(found):
    html = race_report.to_html(found, ratings())
    page = Page(html)
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.links) == 2 and all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert not re.search(r"https?://", html)
    assert all(len(alt) > 40 for alt in page.alts)
    listed = [row[1] for row in page.tables["contenders"][1:]]
    assert listed == list(found.table.index)
    for sentence in answer(found).values():
        assert sentence in page.text
    assert html == race_report.to_html(found, ratings())


def test_numbers_on_the_page_are_those_of_the_tables(found, tmp_path):
    path = race_report.write(found, ratings(), tmp_path / "report")
    assert sorted(p.name for p in path.parent.iterdir()) == sorted(race_report.FILES)
    page = Page(path.read_text(encoding="utf-8"))
    table = pd.read_csv(path.with_name("contenders.csv"), index_col="contender")
    heads = page.tables["contenders"][0]
    for cells in page.tables["contenders"][1:]:
        shown = dict(zip(heads, cells, strict=True))
        row = table.loc[shown["contender"]]
        assert shown["RMSE"] == f"{row['RMSE']:.4f}"
        assert shown["RMSE, pilot"] == f"{row['RMSE, pilot']:.4f}"
        assert shown["share of gain"] == f"{row['share of gain']:.0%}".replace("-0%", "0%")
        assert shown["examples per event"] == f"{row['examples per event']:,.2f}"
        assert shown["CPU s"] == f"{row['CPU s']:.2f}" and shown["fits"] == f"{row['fits']:,}"
        if shown["tied"] != "best":
            assert shown["worse by"] == f"{row['worse by']:.4f}"
            assert shown["over users"] == f"{row['low, users']:.4f} to {row['high, users']:.4f}"
            assert shown["over time"] == f"{row['low, blocks']:.4f} to {row['high, blocks']:.4f}"
            assert shown["tied"] == ("yes" if row["tied"] else "no")
    windows = pd.read_csv(path.with_name("windows.csv"))
    assert len(windows) == 20 * len(table)
    own = windows[windows["contender"] == "frozen"]
    mean = np.average(own["quality"] ** 2, weights=own["events"]) ** 0.5
    assert mean == pytest.approx(table.at["frozen", "RMSE"])
    settings = pd.read_csv(path.with_name("settings.csv"))
    shown = {row[0].partition(";")[0]: row for row in page.tables["settings"][1:]}
    last = settings[settings["chosen"] & (settings["family"] == "every 15 events")].iloc[-1]
    assert shown["every 15 events"][1:3] == [f"{last['epochs']:.0f}", f"{last['step_size']:.4g}"]
    assert shown["every 15 events"][3].rstrip("*") == f"{last['update_step_size']:.4g}"
    order = [name for name in found.results if name in shown]
    assert list(shown) == order  # as contenders are shown, whichever was chosen first


def test_a_star_is_explained_where_one_stands(found):
    inner = replace(found, settings=found.settings.assign(edge=""))
    outer = replace(found, settings=found.settings.assign(edge="step_size"))
    pages = [race_report.to_html(one, ratings()) for one in (inner, outer)]
    assert [("*</td>" in page, "* the smallest or the largest" in page) for page in pages] == [
        (False,) * 2,
        (True,) * 2,
    ]


def test_a_report_is_whole_or_not_there_and_never_written_over_by_accident(found, tmp_path, monkeypatch):
    folder = tmp_path / "deep" / "report"
    race_report.write(found, ratings(), folder)
    before = (folder / "race.html").read_bytes()
    with pytest.raises(race_report.FolderTaken, match="--force"):
        race_report.write(found, ratings(), folder)
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(race_report.FolderTaken, match=r"thesis\.txt"):
        race_report.write(found, ratings(), folder, force=True)
    (folder / "thesis.txt").unlink()
    with monkeypatch.context() as broken:
        broken.setattr(pd.DataFrame, "to_csv", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            race_report.write(found, ratings(), folder, force=True)
    with monkeypatch.context() as broken:
        broken.setattr(race_report, "FILES", ("race.html",))
        broken.setattr(race_report.Path, "write_text", lambda *a, **k: 1 / 0)
        with pytest.raises(race_report.FolderTaken):  # what is there is no longer all ours
            race_report.write(found, ratings(), folder, force=True)
        with pytest.raises(ZeroDivisionError):
            race_report.write(found, ratings(), tmp_path / "other")
    assert (folder / "race.html").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]
    race_report.write(found, ratings(), folder, force=True, seconds=77.0)
    assert (folder / "race.html").read_bytes() != before
    assert [p.name for p in folder.parent.iterdir()] == ["report"]


def test_the_grey_line_climbs_from_the_cheapest_to_the_best(found):
    figure = Figure()
    draw_frontier(figure, found)
    line = figure.axes[0].lines[0]
    x, y = line.get_data()
    assert (np.diff(x) > 0).all() and (np.diff(y) >= 0).all() and y[-1] == 1.0


def test_labels_of_points_that_touch_are_stacked_in_their_order():
    x, y = np.array([0, 0, 0, 0, 0.05, 3]), np.array([0.211, 0.195, 0.209, 1.0, 0.2, 0.2])
    out = _spread(x, y, 0.05)
    near = out[[1, 4, 2, 0]]
    np.testing.assert_allclose(np.diff(near), 0.05)
    assert near.mean() == pytest.approx(y[[1, 4, 2, 0]].mean())
    assert out[3] == 1.0 and out[5] == 0.2  # far away: left where they are


def test_a_tie_and_a_cheaper_way_are_said(found):
    costly = replace(found, choice=replace(found.choice, name="full retrain, growing"))
    share, cost = found.table["share of gain"], found.table["examples per event"]
    cheap = cost[(share >= 0.9) & (cost < 0.6 * cost["full retrain, growing"])].idxmin()
    assert f"Nearly as good for less: {cheap} reaches {share[cheap]:.0%}" in answer(costly)["cheaper"]
    cheapest = replace(found, choice=replace(found.choice, name=cheap))
    assert answer(cheapest)["cheaper"] == ""
    still = race(ratings(jump=0.0, n=900), quick=True)
    nothing = replace(still, choice=replace(still.choice, name="frozen"))
    assert answer(nothing)["do"] == "Leave the model as it is."
    assert "beyond what chance" in answer(nothing)["gain"]


# ---------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["recsys-course", "race", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    monkeypatch.setenv("COLUMNS", "200")
    return call


def test_on_a_file_of_ones_own_with_bad_rows(run, tmp_path):
    table = plays().rename(columns={"user": "listener", "item": "track", "timestamp": "played_at"})
    table["played_at"] = pd.to_datetime(table["played_at"], unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S")
    table = table.drop(columns="label").astype({"listener": "object"})
    table.loc[5, "listener"] = None
    table.loc[[700, 900], "played_at"] = "<img src=http://x.example onerror=alert(1)>"
    file, out = tmp_path / "plays & more.csv", tmp_path / "report"
    table.to_csv(file, index=False)
    options = ("--user", "listener", "--item", "track", "--time", "played_at", "--no-label", "--quick")
    code, said, _ = run("--data", str(file), *options, "--out", str(out), "--delay", "20")
    assert code == 0
    assert "Show people what they took lately" in said and "race.html" in said
    html = (out / "race.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.tags.count("img") == 2 and "<img src=http" in page.text  # shown as text, and not as a picture
    assert "2 rows left out" in page.text and "1 row left out: no user (line 7)" in page.text
    assert "plays &amp; more.csv" in html and "1,197 rows, 30 users, 60 items" in page.text
    assert "late, by 20 events" in page.text
    code, _, err = run("--data", "nowhere.csv", "--out", str(out))
    assert code == 2 and "--force" in err  # said before ten minutes have passed, and before anything is read


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "nowhere.csv"), 4, "nowhere.csv"),
        (("--delay", "soon"), 2, "'soon' is no interval"),
        (("--seed", "-1"), 2, "--seed"),
    ],
)
def test_mistakes_get_one_line(run, tmp_path, arguments, code, message):
    got, _, err = run(*arguments, "--out", str(tmp_path / "report"))
    assert got == code and message in " ".join(err.split()) and "Traceback" not in err
    assert not (tmp_path / "report").exists()


def test_its_help_shows_an_example(run):
    code, out, _ = run("--help")
    assert code == 0 and "recsys-course race --data plays.csv" in " ".join(out.split())
