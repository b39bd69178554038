"""results/index.html in a browser: it does what its controls say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.metrics.statistics import mean_and_half_width, paired_p
from protocols.schema import Protocol
from tests.benchmarks.report.browser import chromium
from tests.benchmarks.report.html.conftest import HOSTILE, page_of
from tests.conftest import ROOT

LABELS = "return [...document.querySelectorAll('tr[data-row]:not([hidden])')].map(r => r.cells[1].textContent)"
CLICK = "[...document.querySelectorAll(arguments[0])].find(e => e.textContent.trim() === arguments[1]).click()"
TYPE = "const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input', {bubbles: true}))"
TICK = """document.querySelectorAll('tr[data-row]').forEach(line => {
    if (arguments[0].includes(line.cells[1].textContent)) line.cells[0].firstChild.click()
})"""
HOVER = """const at = document.querySelector('#chart [aria-label=dot] *').getBoundingClientRect();
for (const type of ['pointerenter', 'pointermove']) document.querySelector('#chart svg').dispatchEvent(
    new PointerEvent(type, {clientX: at.x + 4, clientY: at.y + 4, pointerType: 'mouse', bubbles: true}));
return new Promise(done => setTimeout(done, 200))"""
EXPANDED = "return [...document.querySelectorAll('[aria-expanded=true]')].map(e => e.textContent)"
TEXT = "return document.querySelector(arguments[0]).innerText"


def test_clicking_through_it(hand: Protocol, story: Path, tmp_path: Path) -> None:
    page_of(story, hand)
    hostile = f"{HOSTILE} (topic)"
    with chromium(tmp_path / "profile") as browser:
        browser.open(story / "index.html")
        assert set(browser.js(LABELS)) == {"LEC-Net (paper)", hostile, "BaseOnly", "Proto (norm_mean)", "Proto (raw_mean)"}
        # Sort: as numbers, both ways, missing last.
        browser.js(CLICK, "#rows thead button", "All")
        rising = browser.js(LABELS)
        assert rising[0] == hostile and rising[1:3] == ["BaseOnly", "Proto (raw_mean)"]
        browser.js(CLICK, "#rows thead button", "All")
        assert browser.js(LABELS)[-1] == hostile
        # Filter: by a choice, by text, and what is hidden at first.
        browser.js(TYPE, "[name=split]", "canonical-order")
        assert browser.js(LABELS) == ["Proto (raw_mean)"]
        browser.js(TYPE, "[name=split]", "")
        browser.js(TYPE, "[name=text]", "lec-net")
        assert browser.js(LABELS) == ["LEC-Net (paper)"]
        browser.js(CLICK.replace("textContent.trim()", "name"), "#filters input", "others")
        assert browser.js(LABELS) == ["LEC-Net (paper)"] * 2
        assert browser.js(TEXT, "#count") == "2 of 6 rows"
        assert browser.js(TEXT, "#unseen") == "The filters hide 1 of the rows drawn."
        browser.js(TYPE, "[name=text]", "")
        assert browser.js(TEXT, "#unseen") == ""
        # Open a row, and close it.
        browser.js(CLICK, "#rows tbody button", hostile)
        opened = browser.js(TEXT, "tr.opened")
        assert browser.js(EXPANDED) == [hostile]
        for said in ("--methods ft_cnn:topic", "threads 1", "reproduced: within", "memory 64 MiB", "Paper <b>"):
            assert said in opened, said
        browser.js(CLICK, "#rows tbody button", hostile)
        assert browser.js("return document.querySelector('tr.opened')") is None and browser.js(EXPANDED) == []
        browser.js(CLICK, "#rows tbody button", "Proto (norm_mean)")
        assert "taken for 2" in browser.js(TEXT, "tr.opened")
        # Curves: a dot a session for what is ticked, and a band from three seeds on; none, two, another metric.
        browser.js(CLICK, "button", "draw none")
        assert browser.js(TEXT, "#chart") == "No row is ticked."
        browser.js(CLICK.replace("textContent.trim()", "name"), "#filters input", "others")
        browser.js(TICK, ["BaseOnly", hostile])
        assert browser.js("return document.querySelectorAll('#chart [aria-label=dot] *').length") == 6
        assert browser.js("return document.querySelectorAll('#chart [aria-label=area] path').length") == 1
        assert len(browser.js("return [...document.querySelectorAll('#legend li')].map(e => e.textContent)")) == 2
        browser.js(HOVER)
        assert "session 0: 85.00" in browser.js("return document.querySelector('#chart [aria-label=tip]').textContent")
        # Two rows that are ticked are held against each other; so are any two that are chosen.
        assert "2" in browser.js(TEXT, "#held tr:nth-child(2) td:nth-child(6)")
        options = browser.js("return Object.fromEntries([...document.querySelector('#first').options].map(o => [o.text, o.value]))")
        of = {
            label: next(value for text, value in options.items() if text.startswith(label))
            for label in ("LEC-Net", "BaseOnly", "Proto (raw")
        }
        browser.js(TYPE, "#first", of["BaseOnly"])
        browser.js(TYPE, "#second", of["LEC-Net"])
        cells = browser.js("return [...document.querySelectorAll('#held tr:nth-child(2) td')].map(e => e.textContent)")
        mean, width = mean_and_half_width([-35.0, -32.5, -37.5])
        p = paired_p(np.array([-35.0, -32.5, -37.5]))
        assert cells[1:] == ["42.50 ± 6.21", "77.50 ± 10.76", f"{mean:.2f} ± {width:.2f}", f"{p:.3f}", "3"]
        browser.js(TYPE, "#second", of["Proto (raw"])
        assert "No paired test" in browser.js(TEXT, "#pair")
        assert browser.js("return document.querySelectorAll('img, script[src]').length") == 0
        assert browser.console() == []


def test_long_names_wrap(hand: Protocol, story: Path, tmp_path: Path) -> None:
    """A name of a hundred letters takes lines of its cell, not the room of the figures beside it."""
    page_of(story, hand)
    with chromium(tmp_path / "profile") as browser:
        browser.open(story / "index.html")
        cells = browser.js(LABELS.replace("r.cells[1].textContent", "[r.cells[1].offsetWidth, r.cells[1].offsetHeight]"))
        assert {width for width, _ in cells} < set(range(200, 420))
        assert max(height for _, height in cells) > 1.8 * min(height for _, height in cells)


def test_a_narrow_window(hand: Protocol, story: Path, tmp_path: Path) -> None:
    """The page scrolls down only, and what opens under a row stands in sight."""
    page_of(story, hand)
    with chromium(tmp_path / "profile") as browser:
        browser.ask("/window/rect", {"width": 500, "height": 800})
        browser.open(story / "index.html")
        browser.js(CLICK, "#rows tbody button", "BaseOnly")
        sides = browser.js("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
        assert sides[0] <= sides[1] < 520
        assert browser.js("return document.querySelector('tr.opened dd').getBoundingClientRect().right") < sides[1]


def test_the_committed_page_in_a_browser(tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        browser.open(ROOT / "results" / "index.html")
        assert len(browser.js(LABELS)) > 80
        assert browser.js("return document.querySelectorAll('#chart [aria-label=dot] *').length") > 20
        assert browser.console() == []
