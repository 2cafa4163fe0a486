"""The pages of results and the site as Chromium shows them, on a screen and on a phone."""

import importlib.util
import re
import subprocess
import sys

import pytest

import browser
from docs_pages import ROOT

SCREEN, PHONE, HEIGHT = 1200, 390, 844
TINY = ["--model", "test_resnet", "--limit-train", "48", "--limit-test", "40"]
TINY += ["--batch-size", "16", "--epochs", "2"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="Chromium is not installed"),
]


def numbers(colour):
    return [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]


def check(found, pages):
    """Nothing is wider than the window, and nothing is missing."""
    assert {(one["page"], one["width"]) for one in found} == {
        (page, width) for page in pages for width in (SCREEN, PHONE)
    }
    for one in found:
        place = one["page"], one["width"]
        assert one["scroll"] <= one["client"] <= one["width"], place
        assert one["broken"] == [], place
        assert one["cut"] == [], place
        assert one["title"], place
        assert one["heading"] is not None, place


@pytest.fixture
def results(run, tmp_path, short_pilot):
    """A page of every command that makes one."""
    lines = {
        "train": ["train", *TINY],
        "compare": ["compare", *TINY, "--seeds", "2"],
        "sweep": ["sweep", *TINY, "--strategies", "truncate", "--rates", "0.3", "--seeds", "2"],
        "profile": ["profile", "--model", "test_resnet", "--batch-size", "4", "--pairs", "3"],
        "memory": ["memory", "--model", "test_resnet", "--batch-size", "4"],
    }
    for name, line in lines.items():
        code, out, error = run(*line, "--out", name)
        assert code == 0, (name, out, error)
    code, out, error = run("report", "train")
    assert code == 0, error
    return tmp_path


def test_pages_of_results_fit_and_begin_with_the_verdict(results):
    pages = sorted(f"/{file.relative_to(results)}" for file in results.rglob("*.html"))
    assert len(pages) == 5
    light = browser.looked_at(results, pages, [SCREEN, PHONE])
    check(light, pages)
    for one in light:
        assert one["cells"] == [], (one["page"], one["width"])
        judged = "compare" in one["page"] or "sweep" in one["page"]
        assert (one["verdict"] is not None) >= judged, one["page"]
        assert one["verdict"] is None or one["verdict"] <= HEIGHT, (one["page"], one["width"])
    dark = browser.looked_at(results, pages, [SCREEN, PHONE], dark=True)
    check(dark, pages)
    for one in light:
        assert min(numbers(one["ground"])) > 200 > 100 > max(numbers(one["ink"])), one["page"]
    for one in dark:
        assert max(numbers(one["ground"])) < 100 < 200 < min(numbers(one["ink"])), one["page"]


@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="make docs installs it")
def test_the_sites_pages_fit(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (tmp_path / "404.html").unlink()  # its links are those of a site's root
    pages = sorted(f"/{file.relative_to(tmp_path)}" for file in tmp_path.rglob("*.html"))
    assert len(pages) > 40
    check(browser.looked_at(tmp_path, pages, [SCREEN, PHONE]), pages)


def test_a_page_that_is_too_wide_is_seen(tmp_path):
    """Else nothing here could fail."""
    wide = '<!DOCTYPE html><title>x</title><h1 style="width: 500px">a</h1><img src="none.png">'
    wide += '<svg width="50" height="20"><text x="30" y="10">cut off</text></svg>'
    (tmp_path / "wide.html").write_text(wide)
    found = browser.looked_at(tmp_path, ["/wide.html"], [SCREEN, PHONE])
    assert [one["scroll"] > one["client"] for one in found] == [False, True]
    assert all(len(one["broken"]) == 1 and one["cut"] == ["cut off"] for one in found)
