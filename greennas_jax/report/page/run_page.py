"""The page of one run: `report.html`."""

import os
import pathlib

from greennas_jax.report import files
from greennas_jax.report.page import details, elements, energy, networks, progress, source, verdict
from greennas_jax.report.page.elements import tag
from greennas_jax.report.page.source import Evidence

NAME = "report.html"


def text(run: Evidence) -> str:
    """Return the page of a run, one HTML file that needs nothing else."""
    before = run.report["before"]
    return elements.document(
        f"{before['network']} on {before['device']}: GreenNAS-JAX",
        verdict.head(run),
        networks.draw(run),
        energy.draw(run),
        progress.draw(run),
        details.specification(run),
        details.figures(run),
        details.settings(run),
        tag(
            "footer",
            "Made by GreenNAS-JAX from report.json, history.csv, config.json and optimized.json.",
        ),
    )


def write(run: Evidence, folder: str | os.PathLike[str]) -> None:
    """Write the page of a run into a folder.

    Raises:
      OSError: If it cannot be written.
    """
    files.write_text(pathlib.Path(folder) / NAME, text(run))


def remake(folder: str | os.PathLike[str]) -> None:
    """Make the page of a finished workdir again from its files alone.

    Raises:
      ValueError: If a file is not what it should be.
      OSError: If one is missing, or the page cannot be written.
    """
    write(source.read(folder), folder)
