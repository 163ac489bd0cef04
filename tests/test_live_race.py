"""The live race: its last moment is a picture of the results, the script moves that picture, and nothing is fetched."""

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from authoring import browser
from recsys_course import live_race as module
from recsys_course.blending import ensemble
from recsys_course.live_race import live_race
from recsys_course.models import Popularity, RunningMeans
from recsys_course.plot import COLOURS
from recsys_course.replay import replay
from recsys_course.report import examples_by_window, quality, quality_by_window
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain


def stream(n=1000, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"user": rng.integers(20, size=n), "item": rng.integers(10, size=n), "timestamp": range(n)})
    return table.assign(label=3 + np.sin(np.arange(n) / 100) + rng.normal(0, 0.3, n))


def strategies():
    return {
        "never": Frozen(RunningMeans()),
        "now & <then>": PeriodicRetrain(RunningMeans(), every=150),
        "each event": Incremental(RunningMeans()),
        "both": Hybrid(RunningMeans(), retrain_every=150, every=7),
    }


@pytest.fixture(scope="module")
def raced():
    return {name: replay(stream(), strategy, task="rating") for name, strategy in strategies().items()}


def drawing(live):
    """The parts of the picture by class."""
    root = ElementTree.fromstring(live.svg)
    parts = {}
    for node in root.iter():
        parts.setdefault(node.get("class"), []).append(node)
    return parts


# ------------------------------------------------------------------------------- what it is drawn from


@pytest.mark.parametrize("fused", [True, False])
def test_examples_by_window_follow_the_lessons(fused):
    raced = {name: replay(stream(), s, task="rating", fused=fused) for name, s in strategies().items()}
    assert examples_by_window(raced["never"], windows=6).tolist() == [0] * 6
    # 600 are scored; before the first of a stretch of 100 all before it are learned, and before its last all but one.
    np.testing.assert_allclose(examples_by_window(raced["each event"], windows=6), 100 * np.arange(1, 7) - 1, atol=1)
    # Fitted before the rows 150, 300 and 450 of the scored part, to 400 more events.
    assert examples_by_window(raced["now & <then>"], windows=4).tolist() == [0, 550, 1250, 2100]
    for result in raced.values():
        assert examples_by_window(result, windows=5)[-1] == result.cost.examples
    both = ensemble([raced["each event"], raced["now & <then>"]], stream())
    apart = [examples_by_window(raced[name], windows=12) for name in ("each event", "now & <then>")]
    np.testing.assert_allclose(examples_by_window(both, windows=12), sum(apart), atol=2)


def test_the_last_moment_is_that_of_the_results(raced):
    live = live_race(raced, windows=12)
    parts = drawing(live)
    assert [node.text for node in parts["quality"]] == [f"{quality(result):.3f}" for result in raced.values()]
    assert [node.text for node in parts["cost"]] == [f"{result.cost.examples:,}" for result in raced.values()]
    lengths = [float(node.get("x2")) - float(node.get("x1")) for node in parts["bar"]]
    assert np.argsort(lengths).tolist() == np.argsort([result.cost.examples for result in raced.values()]).tolist()
    assert lengths[0] == 0
    for line, result in zip(parts["line"], raced.values(), strict=True):
        points = np.array([point.split(",") for point in line.get("points").split()], float)
        table = quality_by_window(result, windows=12)
        assert len(points) == 12 and (np.diff(points[:, 0]) > 0).all()
        # Heights are a straight line in the metric, downwards.
        fit = np.polyfit(table["quality"], points[:, 1], 1)
        np.testing.assert_allclose(np.polyval(fit, table["quality"]), points[:, 1], atol=0.1)
        assert fit[0] < 0
    looks = {(line.get("stroke"), line.get("stroke-dasharray")) for line in parts["line"]}
    assert len(looks) == 4 and {look[0] for look in looks} <= set(COLOURS)
    assert len({look[1] for look in looks}) == 4  # told apart without colour


@pytest.mark.parametrize(("low", "high"), [(0.48, 0.62), (0.5, 1.7), (0.301, 0.309), (1.0, 9.0)])
def test_a_tick_is_labelled_with_its_value(low, high):
    scale = module._Scale(np.array([low, high]), 1.0)
    root = ElementTree.fromstring(f"<svg>{module._axes('RMSE', scale, 100)}</svg>")
    labels = [float(node.text) for node in root.iter("text") if node.get("text-anchor") == "end"]
    np.testing.assert_allclose(labels, scale.ticks, atol=1e-9)


def test_fourteen_look_different():
    assert len({module._look(k) for k in range(module.MOST)}) == module.MOST


@pytest.mark.parametrize("seed", range(5))
def test_numbers_at_the_ends_keep_apart(seed):
    heights = np.random.default_rng(seed).uniform(300, module.BOTTOM, 14).round(-1)
    out = module._apart(heights)
    ordered = out[np.argsort(heights, kind="stable")]
    assert (np.diff(ordered) >= module.GAP - 1e-9).all() and out.max() <= module.BOTTOM


class _Html(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.script, self._in = [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._in = tag

    def handle_data(self, text):
        if self._in == "script":
            self.script += text


def test_without_scripts_the_picture_is_there_and_nothing_is_fetched(raced):
    live = live_race(raced, windows=12)
    html = _Html(live._repr_html_())
    assert [tag for tag, _ in html.found] == ["div", "img", "script"]
    image = html.found[1][1]
    kind, _, content = image["src"].partition(",")
    assert kind == "data:image/svg+xml;base64" and base64.b64decode(content).decode() == live.svg
    assert "never" in image["alt"] and "now & <then>" in image["alt"]
    outside = live.svg.replace('xmlns="http://www.w3.org/2000/svg"', "") + html.script
    assert not re.search(r"https?:|url\(|href|import|fetch\(|src=", outside)
    shown = "".join(ElementTree.fromstring(live.svg).itertext())
    assert "now & <then>" in shown  # escaped once, and no tag of its own


def test_names_cannot_leave_the_script():
    name = "</script><script>alert(1)</script>"
    live = live_race({name: replay(stream(200), Frozen(RunningMeans()), task="rating")}, windows=5)
    html = _Html(live._repr_html_())
    assert [tag for tag, _ in html.found] == ["div", "img", "script"]
    data = json.loads(re.search(r"const race = (.*);", html.script).group(1))
    assert name in data["alt"]


def test_the_same_results_give_the_same_bytes_and_others_another_name(raced):
    first, second = (live_race(raced, windows=12)._repr_html_() for _ in range(2))
    assert first == second
    fewer = live_race(list(raced.values())[:2], windows=12)._repr_html_()
    name = re.compile(r'class="(live-race-\w+)"')
    assert name.search(first).group(1) != name.search(fewer).group(1)
    assert first.count(name.search(first).group(1)) == 2  # the place, and where the script looks for it


def test_a_ranking_is_better_when_higher():
    rng = np.random.default_rng(0)
    taken = pd.DataFrame({"user": rng.integers(9, size=300), "item": rng.integers(40, size=300), "label": 1.0})
    taken["timestamp"] = range(300)
    result = replay(taken, Incremental(Popularity(window=50)), task="ranking", score_every=3)
    live = live_race([result], windows=6)
    assert "higher is better" in live.svg and f"{quality(result):.3f}" in live.svg
    assert examples_by_window(result, windows=6)[-1] == pytest.approx(result.cost.examples, abs=3)


def test_mistakes_are_named(raced):
    with pytest.raises(ValueError, match="from 1 to 14"):
        live_race([])
    with pytest.raises(ValueError, match="a name of its own"):
        live_race([raced["never"], raced["never"]])
    with pytest.raises(ValueError, match="windows must lie"):
        live_race(raced, windows=10_000)
    with pytest.raises(ValueError, match="the same rows"):
        live_race([raced["never"], replace(raced["both"], rows=raced["both"].rows + 1)])


@pytest.mark.browser
def test_it_plays_in_a_browser(raced, tmp_path):
    if browser.missing():
        pytest.skip(browser.missing())
    page = tmp_path / "live.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{live_race(raced)._repr_html_()}", encoding="utf-8")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    with browser.chromium() as driver:
        driver.get(page.as_uri())
        picture = lambda: driver.find_element(By.TAG_NAME, "svg").get_attribute("outerHTML")  # noqa: E731
        button, position = (driver.find_element(By.CSS_SELECTOR, name) for name in ("button", ".position"))
        at = lambda: float(position.get_attribute("value"))  # noqa: E731
        last = picture()
        assert at() == 39 and button.text == "Play"  # at the end, and nothing moves
        driver.find_element(By.CSS_SELECTOR, ".speed").send_keys(Keys.END)
        button.send_keys(Keys.SPACE)
        WebDriverWait(driver, 10).until(lambda _: 2 < at() < 39)
        assert picture() != last
        button.click()
        paused = at()
        assert button.text == "Play" and at() == paused
        button.click()
        WebDriverWait(driver, 20).until(lambda _: at() == 39 and button.text == "Play")
        assert picture() == last  # what the script draws at the end is what was drawn before
        position.send_keys(Keys.HOME)
        assert at() == 0 and picture() != last
