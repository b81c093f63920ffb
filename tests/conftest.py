import os
import pathlib
import shutil
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """Return the folder of reference figures beside the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference figures are absent: no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def specs() -> pathlib.Path:
    """Return the folder of the networks that come with the repository."""
    return ROOT / "configs" / "specs"


# The tests compile much and compute little: a third of their time goes without optimisation.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_configure(config):
    # One compilation cache for the programs that all workers launch; workers inherit it.
    if not hasattr(config, "workerinput"):
        os.environ["GREENNAS_CACHE"] = tempfile.mkdtemp(prefix="greennas_tests_")


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("GREENNAS_CACHE"), ignore_errors=True)
