import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from greennas_jax.report.page import run_page
from tests.report.page import runs

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DARK = ("--blink-settings=preferredColorScheme=0",)


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Return a function that opens a page in a headless browser and returns what it printed."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    profile = tmp_path_factory.mktemp("browser")

    def opened(page, *options):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        done = subprocess.run(
            [program, *flags, f"--user-data-dir={profile}", *options, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        told = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert done.returncode == 0 and told == [], done.stderr
        return done.stdout

    return opened


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    given, found = (runs.small(width, layer=runs.NASTY) for width in (8, 4))
    folder = runs.workdir(tmp_path_factory.mktemp("page") / "w", given, found)
    run_page.remake(folder)
    return folder / "report.html"


def test_script_runs_and_every_figure_is_drawn(browse, page):
    found = browse(page, "--dump-dom")
    assert 'data-ready="yes"' in found
    # The script takes the titles of marks over into its own tips.
    assert "<title>query 1" not in found and 'data-tip="query 1: ' in found
    for name in ("pareto", "best", "hypervolume", "predictions"):
        figure = re.search(rf'<figure id="{name}">.*?</figure>', found, re.DOTALL)
        assert figure is not None and figure[0].count('class="mark') >= 2, name
    assert found.count("<script") == 1


@pytest.mark.parametrize(("options", "dark"), [((), False), (DARK, True)], ids=["light", "dark"])
def test_page_is_readable_light_and_dark(browse, page, tmp_path, options, dark):
    picture = tmp_path / "page.png"
    browse(page, *options, "--window-size=800,1400", f"--screenshot={picture}")
    shades = np.asarray(Image.open(picture).convert("L"), float)
    paper = np.median(shades)
    assert paper < 60 if dark else paper > 200
    # Text and figures stand out from the paper, and fill a fair part of it.
    assert 0.01 < np.mean(np.abs(shades - paper) > 60) < 0.5
