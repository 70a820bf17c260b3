import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.report import (
    Control,
    Controls,
    Fact,
    Histogram,
    Overlay,
    Picture,
    ReportContent,
    Score,
    Stage,
    Table,
    render_report,
    write_report,
)
from morula.report.plots import histogram_svg, histogram_text, interval_svg
from report_example import NASTY, example_content


class Page(HTMLParser):
    """What the tests ask of a page: its elements, ids, links, and whether tags are balanced."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return example_content()


@pytest.fixture(scope="module")
def text(content) -> str:
    return render_report(content)


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_every_section_has_a_link_that_leads_somewhere(page):
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs in page.all("a")]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert {attrs["id"] for attrs in page.all("section")} == {
        "result", "why", "scores", "controls", "trust", "next", "steps", "objects", "neurons", "images",
        "record",
    }  # fmt: skip


def test_nothing_is_loaded_from_anywhere(page, text):
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            if (value := attrs.get(name)) is not None:
                assert value.startswith(("data:", "#")), (tag, name, value[:80])
    assert not re.search(r"@import|url\(|https?://", text)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_names_are_escaped(text):
    assert NASTY not in text and "<script>alert" not in text
    assert "slide &lt;script&gt;alert(" in text
    assert text.count("<script>") == 1


def test_every_text_of_the_content_is_escaped():
    evil = "<img src=x onerror=alert(1)>\"'&"
    pixels = np.zeros((4, 4, 3), np.uint8)
    shown = Picture(pixels, evil, evil, evil)
    text = render_report(
        ReportContent(
            evil, evil, (Fact(evil, evil, evil),), warnings=(evil,), trust=(evil,), next_steps=(evil,),
            overlays=(Overlay(evil, pixels, evil, original=pixels),), class_names=(evil, "other"),
            scores=(Score(evil, 0.5, meaning=evil), Score("b", 0.5)), image_scores=Table((evil,), ((evil,),)),
            controls=Controls(
                (Control(evil, (1.0,), True, shown), Control("b", (2.0,))), (evil,), note=evil
            ),
            stages=(Stage(evil, evil, (shown,)),), provenance={evil: evil}, reproduce=(evil,),
            neurons=Table((evil,), ((evil,),)),
            distributions=(Histogram(evil, {evil: np.ones(3), "b": np.ones(2)}, evil, evil, evil),),
        )
    )  # fmt: skip
    assert "<img src=x" not in text
    Page(text)


def test_pictures_have_words_sizes_and_the_page_stays_small(page, text, content):
    images = page.all("img")
    assert len(images) > 12
    assert all("alt" in attrs for attrs in images)
    hidden = [attrs for attrs in images if not attrs["alt"]]
    assert all("under" in (attrs.get("class") or "") for attrs in hidden)
    assert len(hidden) == len(content.overlays)
    assert len(text) < 8_000_000


def test_tables_have_captions_and_headings(page):
    assert len(page.all("caption")) == len(page.all("table")) == 5
    assert all(attrs.get("scope") in {"row", "col"} for attrs in page.all("th"))


EMPTY = ReportContent("Bare")


def test_an_empty_report_is_a_title():
    text = render_report(EMPTY)
    page = Page(text)
    assert "Bare" in text and page.all("section") == [] and page.all("table") == [] and page.all("img") == []
    assert [attrs["href"] for attrs in page.all("a")] == ["#main", "#top"]
    assert 'class="warnings"' not in text and 'class="facts"' not in text


@pytest.mark.parametrize(
    ("field", "section"),
    [
        ("overlays", "result"), ("what_and_why", "why"), ("controls", "controls"), ("trust", "trust"),
        ("next_steps", "next"), ("stages", "steps"), ("distributions", "objects"), ("images", "images"),
        ("neurons", "neurons"),
    ],
)  # fmt: skip
def test_sections_come_and_go_with_their_content(content, field, section):
    without = Page(render_report(replace(content, **{field: getattr(EMPTY, field)})))
    assert section not in {attrs["id"] for attrs in without.all("section")}
    alone = Page(render_report(replace(EMPTY, **{field: getattr(content, field)})))
    assert [attrs["id"] for attrs in alone.all("section")] == [section]


def test_histograms_without_numbers_vanish():
    empty = Histogram("Size", {"": np.array([np.nan])}, "area", "px")
    assert Page(render_report(ReportContent("t", distributions=(empty,)))).all("section") == []


def test_the_same_content_gives_the_same_page(text):
    assert render_report(example_content()) == text


def test_controls_that_win_are_named(content):
    text = render_report(replace(content, scores=()))
    assert (
        "PQ: ahead of every control measured; the closest is “First stage only” (0.612 against 0.488)" in text
    )
    assert "Dice: behind “First stage only” (0.853 against 0.861)" in text
    assert "Dice: too close to call" in render_report(content)


def test_of_errors_the_lower_one_wins():
    methods = (Control("ours", (1.5, 0.5), is_result=True), Control("theirs", (1.2, 0.4)))
    measures = {"measures": ("VOI", "IoU"), "lower": frozenset({"VOI", "ARE"})}
    text = render_report(ReportContent("t", controls=Controls(methods, **measures)))
    assert "VOI: behind “theirs” (1.50 against 1.20)" in text
    assert "IoU: ahead of every control measured; the closest is “theirs” (0.500 against 0.400)" in text
    assert '<span class="best">1.20</span>' in text and '<span class="best">0.500</span>' in text


def test_controls_without_labels_are_pictures(content):
    bare = tuple(replace(method, values=()) for method in content.controls.methods)
    page = Page(render_report(ReportContent("t", controls=Controls(bare))))
    assert page.all("table") == [] and len(page.all("img")) == 3


def test_large_pictures_shrink_until_the_page_fits(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (1300, 300, 3), np.uint8)
    content = ReportContent("t", stages=(Stage("a", "b", (Picture(noise),)),))
    assert 'height="1200"' in render_report(content)
    monkeypatch.setattr("morula.report.page._BUDGET", 400_000)
    assert len(render_report(content)) <= 400_000


def test_writing_makes_the_folder_and_leaves_one_file(tmp_path, text, content):
    path = tmp_path / "report" / "index.html"
    write_report(path, content)
    assert path.read_text(encoding="utf-8") == text
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "denied")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    with pytest.raises(DataError, match="no permission"):
        write_report(tmp_path / "index.html", EMPTY)
    assert list(tmp_path.iterdir()) == []


def test_charts_are_text_in_the_type_and_colours_of_the_page():
    histogram = Histogram("Size", {"a": np.arange(1.0, 90), "b": np.arange(20.0, 60)}, "area", "µm²")
    for svg in (histogram_svg(histogram), interval_svg([Score("PQ", 0.5, 0.4, 0.6), Score("Dice", 0.8)])):
        assert svg.startswith("<svg") and "<text" in svg and "#0102" not in svg
        assert "DejaVu" not in svg and "system-ui" in svg and "prefers-color-scheme: dark" in svg
    assert "area (µm²)" in histogram_svg(histogram) and "objects" in histogram_svg(histogram)


def test_a_giant_object_does_not_squash_the_histogram():
    areas = np.append(np.full(500, 50.0), 90_000)
    text = histogram_text(Histogram("Size", {"": areas}, "area", "px"))
    assert "also hold 1 beyond the axis (up to 90,000 px)" in text


@pytest.mark.parametrize("values", [np.array([3.0]), np.full(5, 2.0), np.zeros(4), np.array([-5.0, 5.0])])
def test_histograms_of_few_or_equal_numbers_are_drawn(values):
    histogram = Histogram("Size", {"": values}, "area")
    assert "<svg" in histogram_svg(histogram) and "Median area" in histogram_text(histogram)


def test_errors_are_called_so_and_share_no_axis_with_scores():
    scores = (Score("PQ", 0.5), Score("Dice", 0.8), Score("are", 0.1, higher_is_better=False))
    text = render_report(ReportContent("a", "b", scores=scores))
    assert text.count("lower is better") == 1
    assert 'with its interval: PQ 0.50, Dice 0.80"' in text


def test_records_refuse_what_they_cannot_show():
    with pytest.raises(ValueError, match="a picture is"):
        Picture(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="positive length"):
        Overlay("a", np.zeros((4, 4, 3), np.uint8), width_um=0)
    with pytest.raises(ValueError, match="has 1 cells"):
        Table(("a", "b"), ((1,),))
    with pytest.raises(ValueError, match="2 values for 1 measures"):
        Controls((Control("x", (1.0, 2.0)),), ("PQ",))
