"""The report in a real browser: a silent console, every picture decoded, something on the screen."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import browse
from morula.report import write_report
from report_example import example_content

DARK = "--blink-settings=preferredColorScheme=0"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "index.html"
    write_report(path, example_content())
    return path


def test_the_page_loads_without_complaint_and_every_picture_decodes(chromium, report, tmp_path):
    document, log = browse(chromium, report, tmp_path, "--dump-dom")
    console = [line for line in log.splitlines() if "CONSOLE" in line]
    assert console == []
    root = re.search(r"<html[^>]*>", document)
    assert root is not None and 'data-broken="0"' in root[0], root
    count = re.search(r'data-images="(\d+)"', root[0])
    assert count is not None and int(count[1]) == document.count("<img ") > 12
    assert 'aria-label="Enlarge: ' in document, "the script ran"


def test_a_broken_page_would_be_noticed(chromium, report, tmp_path):
    page = tmp_path / "broken.html"
    text = report.read_text(encoding="utf-8").replace(
        "data:image/jpeg;base64,", "data:image/jpeg;base64,AAAA", 1
    )
    page.write_text(
        text.replace("</main>", "<script>console.error('seen')</script></main>"), encoding="utf-8"
    )
    document, log = browse(chromium, page, tmp_path / "profile", "--dump-dom")
    assert 'data-broken="1"' in document
    assert any("CONSOLE" in line and "seen" in line for line in log.splitlines())


@pytest.mark.parametrize(("scheme", "options"), [("light", ()), ("dark", (DARK,))])
def test_the_screen_shows_it_light_and_dark(chromium, report, tmp_path, scheme, options):
    shot = tmp_path / "shot.png"
    browse(
        chromium, report, tmp_path / "profile", f"--screenshot={shot}", "--window-size=1280,1800", *options
    )
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    corner = pixels[300, 5].mean()
    assert corner > 200 if scheme == "light" else corner < 60
    assert pixels.std() > 20, "not a blank sheet"
    assert len(np.unique(pixels[800:1150, 130:1150].reshape(-1, 3), axis=0)) > 1000, "pictures are on it"


def test_a_narrow_screen_needs_no_sideways_scrolling(chromium, report, tmp_path):
    frame = tmp_path / "frame.html"
    inner = report.read_text(encoding="utf-8")
    tell = "parent.postMessage(document.documentElement.scrollWidth, '*')"
    measure = f"<script>addEventListener('load', () => {tell})</script>"
    (tmp_path / "inner.html").write_text(inner.replace("</body>", measure + "</body>"), encoding="utf-8")
    frame.write_text(
        "<!doctype html><script>addEventListener('message', e => { document.body.dataset.width = e.data })"
        "</script>"
        "<body><iframe src='inner.html' style='width:420px;height:900px;border:0'></iframe></body>",
        encoding="utf-8",
    )
    document, _ = browse(chromium, frame, tmp_path / "profile", "--dump-dom")
    assert 'data-width="420"' in document, re.search(r"<body[^>]*>", document)


def test_it_prints(chromium, report, tmp_path):
    sheet = tmp_path / "report.pdf"
    browse(chromium, report, tmp_path / "profile", f"--print-to-pdf={sheet}", "--no-pdf-header-footer")
    assert sheet.read_bytes().startswith(b"%PDF") and sheet.stat().st_size > 50_000
