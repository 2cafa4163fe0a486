"""A page of results: its template, its figures, and the curves of several seeds."""

import json
import re
from operator import itemgetter

import pytest

from layerdropback.lab.report import drawing, plots
from layerdropback.lab.report.page import Page
from layerdropback.lab.report.reading import Run
from pages import Checked

ROWS = [["plain|x", "1"], ["a & b", ""]]
COLUMNS = {"arm": itemgetter(0), "<n>": itemgetter(1)}


def made():
    page = Page("A <title>")
    page.heading("Result")
    page.verdict("better & faster", gain=True)
    page.table(COLUMNS, ROWS)
    page.table(COLUMNS, ROWS, folded="2 runs")
    page.code("ldb < x")
    page.values("settings", {"a": 1})
    return page


def test_a_page_and_its_markdown_say_the_same():
    text = made().as_html()
    page = Checked(text)
    assert page.tables == [[list(COLUMNS), *ROWS]] * 2
    assert page.parts == [
        "h1",
        "h2",
        "verdict",
        "table",
        "details",
        "table",
        "pre",
        "details",
        "pre",
    ]
    assert '<p class="verdict gain">better &amp; faster</p>' in text
    assert "<details><summary>2 runs</summary>" in text
    markdown = made().as_markdown()
    assert markdown.startswith("# A <title>\n\n## Result\n\n> better & faster\n\n| arm ")
    assert "| plain\\|x | 1   |" in markdown
    assert 'settings:\n\n```json\n{\n "a": 1\n}\n```' in markdown


def test_the_files_are_written_together(tmp_path):
    page, folder = made(), tmp_path / "new" / "folder"
    assert page.write(folder, "x", {"command": "é"}) == folder / "x.html"
    assert sorted(file.name for file in folder.iterdir()) == ["x.html", "x.json", "x.md"]
    assert json.loads((folder / "x.json").read_text()) == {"command": "é"}
    assert (folder / "x.html").read_text(encoding="utf-8") == page.as_html()
    page.write(tmp_path, "y")
    assert not (tmp_path / "y.json").exists()


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """As the Web Content Accessibility Guidelines count it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def schemes():
    """The colours of the light and of the dark scheme, by name."""
    found = re.findall(r":root \{(.*?)\}", Page("x").as_html(), re.DOTALL)
    assert len(found) == 2
    return [dict(re.findall(r"--(\w+): (#\w{6});", text)) for text in found]


def test_there_is_contrast_on_both_grounds():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for scheme in schemes():
        for ground in (scheme["ground"], scheme["soft"]):
            assert contrast(scheme["ink"], ground) >= 7
            assert contrast(scheme["muted"], ground) >= 4.5
            assert contrast(scheme["gain"], ground) >= 3
        for colour in drawing.COLOURS:
            assert contrast(colour, scheme["ground"]) >= 3, colour


def test_a_figure_has_the_pages_colours_and_no_size_of_its_own():
    svg = drawing.stacked_bars(["a", "b"], {"x": [1, 2], "y": [3, 4]}, "ms", "Bars", (5, "all"))
    tag = svg[: svg.index(">")]
    assert 'viewBox="0 0 ' in tag
    assert "width" not in tag
    assert "height" not in tag
    assert "stroke: currentColor" in svg
    assert drawing.COLOURS[1] in svg
    page = Page("x")
    page.plot(lambda: svg, "Two bars.")
    words = Checked(page.as_html()).words
    assert {"Bars", "Two bars.", "ms", "x", "y", "all"} <= set(words)


def rows(losses, seconds=1.0):
    """Of a run's epochs."""
    common = {"steps": 4, "seconds": seconds, "mode": "full"}
    return [common | {"train_loss": loss, "test_accuracy": 50 / loss} for loss in losses]


def test_a_curve_is_the_mean_over_seeds_with_their_ends():
    runs = [Run("a", 0, rows([4, 2, 1])), Run("a", 1, rows([6, 4], seconds=3.0))]
    runs.append(Run("b", 0, rows([8])))
    found = plots.curves(runs, "seconds", "train_loss")
    assert found == {"a": [(2, 5, 4, 6), (4, 3, 2, 4), (3, 1, 1, 1)], "b": [(1, 8, 8, 8)]}


@pytest.mark.parametrize("seeds", [1, 3])
def test_an_arm_has_a_line_whatever_its_seeds_and_a_band_from_two_on(seeds):
    runs = [
        Run(label, seed, rows([4.0 + seed, 2.0, 1.0][: 3 - seed % 2]))
        for label in ("a", "b")
        for seed in range(seeds)
    ]
    for svg, panels in ((plots.loss_curves(runs), 2), (plots.accuracy_by_time(runs, 40.0), 1)):
        for colour in drawing.COLOURS[:2]:
            curves = [
                path
                for path in re.findall(r'<path d="[^"]*" clip-path[^>]*>', svg)
                if f"stroke: {colour}" in path
            ]
            assert len(curves) == 2 * panels, "a line, and the dot at its end"
        bands = re.findall(r"fill-opacity: 0\.15", svg)
        assert len(bands) == (2 * panels if seeds > 1 else 0)


@pytest.mark.parametrize(
    ("labels", "rows"), [(["a", "b", "c"], 1), (["frozen: " + "x " * 40] * 9, 9)]
)
def test_a_legend_has_as_many_columns_as_fit_and_its_figure_room_for_the_rows(labels, rows):
    figure, (axes,) = drawing.new_figure()
    before = figure.get_figheight()
    for label in labels:
        axes.plot([0, 1], [0, 1], label=label)
    drawing.legend_above(figure, axes)
    (legend,) = figure.legends
    assert legend.get_window_extent().width <= figure.bbox.width
    texts = [text.get_text() for text in legend.get_texts()]
    assert all(len(text) <= 60 for text in texts)
    figure.draw_without_rendering()
    places = {round(text.get_window_extent().y0) for text in legend.get_texts()}
    assert len(places) == rows
    assert (figure.get_figheight() > before + 1) == (rows > 3)


def updated(label, layers):
    row = {"steps": 4, "seconds": 1.0, "mode": "drop"}
    return Run(label, 0, [row], dropped=dict.fromkeys(layers, 1))


@pytest.mark.parametrize(("other", "times"), [(["a.x", "a.y"], 1), (["a.x", "b"], 2)])
def test_layers_are_named_once_where_all_arms_have_the_same(other, times):
    svg = plots.updates([updated("one", ["a.x", "a.y"]), updated("two", other)])
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert sum(word in ("x", "a.x") for word in words) == times
    assert words.count("% of steps") == 1
