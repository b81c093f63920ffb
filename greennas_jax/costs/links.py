"""Links between devices as text: bandwidth and latency, and where each comes from.

A link file is JSON, `{"name": ..., "KEY": {"value": number, "source": text}, ...}`; the keys are
`FIGURES`. A message of n bytes takes latency + n / bandwidth (Hockney, "The communication challenge
for MPP", Parallel Computing 20(3), 1994).
"""

import dataclasses
import os
import pathlib
from typing import Any

from greennas_jax.costs import devices, named_files
from greennas_jax.costs.devices import DeviceError
from greennas_jax.spec import strict_json
from greennas_jax.spec.network import SpecError, shown

LINK_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "configs" / "links"
FIGURES = ("bandwidth_gbits", "latency_us")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """One kind of link, the same both ways at once.

    Attributes:
      bandwidth_gbits: Bandwidth each way [Gbit/s], 10^9 bits.
      latency_us: Time of a message without content [us].
      name: The link's name.
      sources: Pairs of a figure's name and where it comes from.
    """

    bandwidth_gbits: float
    latency_us: float
    name: str
    sources: tuple[tuple[str, str], ...] = ()

    def replace(self, **changes: Any) -> "Link":
        """Return a copy with some figures changed."""
        return dataclasses.replace(self, **changes)


def names() -> tuple[str, ...]:
    """Return the names of the links in configs/links, sorted."""
    return named_files.names(LINK_FOLDER)


def load(name_or_path: str | os.PathLike[str]) -> Link:
    """Return a link by its name (in any case) or from a file.

    Raises:
      DeviceError: If the link is not known, or its file malformed.
      OSError: If a file cannot be read.

    Examples:
      >>> load("ethernet20").bandwidth_gbits
      20.0
    """
    text, origin = named_files.read(name_or_path, LINK_FOLDER, "link", DeviceError)
    return read(text, origin=origin)


def read(text: str, *, origin: str = "<text>") -> Link:
    """Return the link that a link file's text states.

    Raises:
      DeviceError: If the text is not JSON, or a figure is missing, unknown or out of range.
    """
    try:
        stated = strict_json.parse(text)
    except SpecError as error:
        raise DeviceError(f"link file {origin}: {error}") from None
    if not isinstance(stated, dict) or not isinstance(stated.get("name"), str):
        raise DeviceError(f"link file {origin}: an object with a 'name' is needed")
    wrong = set(stated) ^ {"name", *FIGURES}
    if wrong:
        key = sorted(wrong)[0]
        what = "is not known" if key in stated else "is missing"
        raise DeviceError(
            f"link file {origin}: {shown(key)} {what}; needed are name, {', '.join(FIGURES)}"
        )
    found = {
        key: devices.figure(
            stated[key], f"link file {origin}: '{key}'", zero_allowed=key == "latency_us"
        )
        for key in FIGURES
    }
    values = {key: value for key, (value, _) in found.items()}
    sources = tuple((key, source) for key, (_, source) in found.items())
    return Link(name=stated["name"].lower(), sources=sources, **values)
