import pathlib

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
