"""Many networks on many devices through the journey: what is asked, and a row for each.

Every pair of a network and a device has a workdir of its own, WORKDIR/NETWORK/DEVICE, which is
that of a single run.
"""

import errno
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from greennas_jax import checkpoints, journey, recurring
from greennas_jax.accuracy import children, datasets
from greennas_jax.costs import profile as cost_profile
from greennas_jax.report.page import source
from greennas_jax.report.page.source import Evidence

FINISHED, FAILED, WAITING = "finished", "failed", "waiting"
FAILURE, NOTE = "failure.txt", "note.txt"


class Pair(NamedTuple):
    """One network on one device.

    Attributes:
      spec: File of the network.
      device: Name or file of the device.
    """

    spec: pathlib.Path
    device: str

    @property
    def network(self) -> str:
        """Return the network's short name: its file's."""
        return self.spec.stem

    @property
    def target(self) -> str:
        """Return the device's short name."""
        return pathlib.Path(self.device).stem

    @property
    def folder(self) -> pathlib.Path:
        """Return the pair's workdir below the study's."""
        return pathlib.Path(self.network) / self.target


class Row(NamedTuple):
    """What is known of one pair.

    Attributes:
      pair: The pair.
      status: FINISHED, FAILED or WAITING.
      note: Why it failed, or why its accuracy was not measured.
      run: What it left behind; None if it is not finished.
    """

    pair: Pair
    status: str
    note: str
    run: Evidence | None


def specs(named: Sequence[str]) -> list[pathlib.Path]:
    """Return the files that a list of files and folders names, those of a folder by name.

    Raises:
      ValueError: If there are none, or two that are called alike.
      OSError: If one is missing.
    """
    found: list[pathlib.Path] = []
    for name in named:
        path = pathlib.Path(name)
        if path.is_dir():
            inside = sorted(path.glob("*.json"))
            if not inside:
                raise ValueError(f"{name}: no file *.json in this folder")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(errno.ENOENT, "no such file or folder", os.fspath(path))
    if not found:
        raise ValueError("--specs names no network")
    _check_different("--specs", [path.stem for path in found])
    return found


def pairs(files: Sequence[pathlib.Path], devices: Sequence[str]) -> list[Pair]:
    """Return every network on every device, one network after the other.

    Raises:
      ValueError: If no device is named, or two are called alike.
    """
    if not devices:
        raise ValueError("--devices names no device")
    _check_different("--devices", [pathlib.Path(name).stem for name in devices])
    return [Pair(path, device) for path in files for device in devices]


def _check_different(flag: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{flag}: '{twice[0]}' is named twice; each needs a name of its own")


def why_by_proxy(request: journey.Request, most_flop: float) -> str:
    """Return why a network cannot be trained on the data asked for; empty where it can.

    Args:
      request: The run; its data set is not `none`.
      most_flop: Operations of one inference of one example, above which training takes too long
        [FLOP].
    """
    totals = cost_profile.profile(
        request.network, request.device, request.config.settings, request.batch_size
    )
    batch = totals["batch_size"]
    flop = sum(layer["flops"] for layer in totals["layers"]) / batch
    if flop > most_flop:
        return f"by proxy: {flop:.3g} FLOP an example, more than {most_flop:.3g}"
    try:
        data = datasets.load(
            request.dataset,
            children.input_shape(request.network),
            children.classes(request.network),
            vocabulary=children.vocabulary(request.network),
            resize=request.config.resize,
        )
        children.check_fit(request.network, data)
    except ValueError as error:
        return f"by proxy: {' '.join(str(error).split())}"
    return ""


def shared(request: journey.Request, folder: pathlib.Path) -> pathlib.Path:
    """Return where the given network's own trainings are kept, the same on all devices.

    Args:
      request: The run.
      folder: The study's part for this network.

    Raises:
      ValueError: If the folder holds trainings of another configuration.
      OSError: If it cannot be written.
    """
    alike = journey.identity(request)
    del alike["device"], alike["config"]["settings"]
    return checkpoints.claim(folder / "given", alike) / "checkpoints"


def changed(request: journey.Request, folder: pathlib.Path) -> str:
    """Return in what a pair's workdir is that of another request; empty where it is not.

    A run by proxy is one of the same request: its data set was set to `none`.
    """
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    asked = json.loads(json.dumps(journey.identity(request)))
    if stated.get("dataset") == journey.NO_DATA:
        asked["dataset"] = journey.NO_DATA
    found = checkpoints.differences(stated, asked)
    return f"{folder} holds a run of another configuration: {'; '.join(found)}" if found else ""


def row(pair: Pair, workdir: pathlib.Path) -> Row:
    """Return what a study's workdir holds of one pair."""
    folder = workdir / pair.folder
    failure = folder / FAILURE
    if (folder / "report.json").exists():
        try:
            run = source.read(folder)
        except (ValueError, OSError) as error:
            return Row(pair, FAILED, f"its files cannot be read: {error}", None)
        return Row(pair, FINISHED, _note(folder), run)
    if failure.exists():
        return Row(pair, FAILED, failure.read_text(encoding="utf-8").strip(), None)
    return Row(pair, WAITING, "", None)


def _note(folder: pathlib.Path) -> str:
    path = folder / NOTE
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def flat(row: Row) -> dict[str, Any]:
    """Return a row of the study's table; what is not known is None."""
    found: dict[str, Any] = dict.fromkeys(COLUMNS)
    found |= {
        "network": row.pair.network,
        "device": row.pair.target,
        "status": row.status,
        "note": row.note,
        "folder": row.pair.folder.as_posix(),
    }
    if row.run is not None:
        found |= _figures(row.run.report) | _structure(row.run)
    return found


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, search = report["accuracy"], report["search"]
    difference = accuracy.get("difference") or {}
    found: dict[str, Any] = {
        "verdict": accuracy.get("verdict") or "not measured",
        "accuracy_kind": accuracy["kind"],
        "dataset": accuracy.get("dataset"),
        "accuracy_before": accuracy["before"]["mean"],
        "accuracy_after": accuracy["after"]["mean"],
        "accuracy_difference": difference.get("mean"),
        "standard_error": difference.get("standard_error"),
        "queries": search["queries"],
        "trainings": sum(search["trainings"].values()),
        "wall_s": search["wall_s"],
        "provenance": report["after"]["provenance"],
    }
    for key in ("energy_j", "time_ms", "parameters", "flops"):
        for side in ("before", "after"):
            found[f"{key}_{side}"] = report[side]["totals"].get(key)
        found[f"{key}_change"] = report["change"][key]
    return found


def _structure(run: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side in ("before", "after"):
        rows = [row for row in run.report["layers"] if row[f"parameters_{side}"]]
        found[f"structure_{side}"] = "; ".join(f"{row['layer']} {row[side]}" for row in rows)
        found[f"layers_{side}"] = len(run.report[side]["layers"])
    fates = recurring.fates(run.given, run.found)
    for kind in recurring.KINDS:
        counted = recurring.count(fates, kind)
        name = kind.replace(" ", "_")
        found[f"{name}s"] = counted.layers
        for fate, number in counted.fates.items():
            found[f"{name}s_{fate.replace(' ', '_')}"] = number
    return found


COLUMNS = (
    *("network", "device", "status", "verdict"),
    *(f"{key}_{x}" for key in ("energy_j", "time_ms") for x in ("before", "after", "change")),
    *("accuracy_kind", "dataset", "accuracy_before", "accuracy_after", "accuracy_difference"),
    "standard_error",
    *(f"{key}_{x}" for key in ("parameters", "flops") for x in ("before", "after", "change")),
    *("layers_before", "layers_after"),
    *(
        f"{kind.replace(' ', '_')}s{fate}"
        for kind in recurring.KINDS
        for fate in ("", *(f"_{fate.replace(' ', '_')}" for fate in recurring.FATES))
    ),
    *("structure_before", "structure_after", "queries", "trainings", "wall_s", "provenance"),
    *("note", "folder"),
)
