"""What a run leaves behind so that the same command goes on where it stopped.

Every training is logged as it ends, by architecture and seed; a resumed run asks for the same
trainings in the same order and is answered from the log, so that it ends like an unbroken one.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from greennas_jax import locks
from greennas_jax.accuracy.oracle import Trial
from greennas_jax.report import files, tensors
from greennas_jax.spec import limits, strict_json, text_files
from greennas_jax.spec.network import shown

Path = str | os.PathLike[str]
# Differences of two configurations that a refusal names.
_MOST_NAMED = 6


def _key(tokens: np.ndarray, seed: int) -> str:
    return f"{seed}:" + ",".join(str(int(token)) for token in tokens)


class TrialLog:
    """Trials by architecture and seed, one JSON line each, appended as they end."""

    def __init__(self, path: Path):
        self.path = pathlib.Path(path)
        self._known = _read_trials(self.path)

    def evaluate(self, evaluate, tokens: np.ndarray, seeds: Sequence[int]) -> list[Trial]:
        """Return the trials of tokens [n, T], evaluating only those not logged.

        Args:
          evaluate: (tokens, seeds) -> trials; a trial must not depend on its batch.
          tokens: int32 [n, T].
          seeds: One per row.
        """
        keys = [_key(row, seed) for row, seed in zip(tokens, seeds, strict=True)]
        missing = [i for i, key in enumerate(keys) if key not in self._known]
        if missing:
            trials = evaluate(tokens[missing], [seeds[i] for i in missing])
            lines = []
            for i, trial in zip(missing, trials, strict=True):
                found = Trial(
                    float(trial.accuracy),
                    bool(trial.stopped),
                    float(trial.epochs),
                    tuple(trial.curve),
                    int(trial.restarts),
                    bool(trial.diverged),
                )
                self._known[keys[i]] = found
                lines.append(json.dumps({"key": keys[i], **found._asdict()}, allow_nan=False))
            files.append_text(self.path, "".join(line + "\n" for line in lines))
        return [self._known[key] for key in keys]


def _read_trials(path: pathlib.Path) -> dict[str, Trial]:
    """Return the logged trials; a last line that was cut off by a kill is dropped."""
    if not path.exists():
        return {}
    text = text_files.read(path)
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        files.write_text(path, whole)
    found = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = strict_json.parse(line)
            told = row["accuracy"], row["epochs"], *row["curve"]
            accuracy, epochs, *curve = (text_files.number(value, "a figure") for value in told)
            key, restarts = row["key"], row.get("restarts", 0)
            flags = row["stopped"], row.get("diverged", False)
            kinds = *map(type, flags), type(restarts), type(key)
            if kinds != (bool, bool, int, str) or restarts < 0:
                raise TypeError
            found[key] = Trial(accuracy, flags[0], epochs, tuple(curve), restarts, flags[1])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}, line {number}: not a logged trial") from None
    return found


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Return one line for every leaf in which two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted(before.keys() | after.keys())
            for line in differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
        ]
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return []
    if len(path) > limits.LONGEST_SHOWN:
        path = f"{path[: limits.LONGEST_SHOWN - 3]}..."
    return [f"{path} was {shown(before)}, is {shown(after)}"]


def _some(changed: Sequence[str]) -> str:
    more = len(changed) - _MOST_NAMED
    return "; ".join(changed[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def claim(workdir: Path, config: dict[str, Any]) -> pathlib.Path:
    """Make a workdir the run's own, or find that it already is.

    Args:
      workdir: Created where missing.
      config: JSON value of everything that decides the result.

    Raises:
      ValueError: If the workdir holds a run of another configuration, whose differences are named,
        or another process works in it.
      OSError: If it cannot be written.
    """
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    stated = folder / "config.json"
    if stated.exists():
        try:
            before = text_files.read_json(stated)
        except text_files.FileError as error:
            raise ValueError(f"{error}; is {folder} a run's workdir?") from None
        changed = differences(before, json.loads(json.dumps(config)))
        if changed:
            raise ValueError(
                f"{folder} holds a run of another configuration: {_some(changed)}; "
                "choose another --workdir"
            )
    (folder / "checkpoints").mkdir(exist_ok=True)
    locks.hold(folder / "checkpoints" / "lock", os.fspath(folder))
    files.write_json(stated, config)
    return folder


def same_data(folder: Path, digest: str, name: str) -> None:
    """Note which data a run works with; the images behind a name may change between two starts.

    Args:
      folder: The workdir.
      digest: Of the data set.
      name: The data set, as it was asked for.

    Raises:
      ValueError: If the run began with other data.
    """
    path = pathlib.Path(folder) / "checkpoints" / "data.json"
    if not path.exists():
        files.write_json(path, {"dataset": name, "sha256": digest})
        return
    noted = text_files.read_json(path)
    if not isinstance(noted, dict) or noted.get("sha256") != digest:
        raise ValueError(
            f"{folder}: the images or labels of '{name}' are not those that this run began with; "
            "put them back, or choose another --workdir"
        )


def save_arrays(path: Path, tree: Any) -> None:
    """Save the array leaves of a pytree as one safetensors file that appears when it is whole.

    Raises:
      OSError: If it cannot be written.
    """
    leaves = {f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}
    tensors.write(path, leaves, {"sha256": _digest(leaves)})


def _digest(leaves: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays, their kinds and shapes included."""
    found = hashlib.sha256()
    for name, leaf in sorted(leaves.items()):
        found.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def load_arrays(path: Path, tree: Any) -> Any:
    """Return a pytree of the same structure with the leaves that `save_arrays` saved.

    Raises:
      ValueError: If the file is damaged, or the leaves' shapes do not fit.
    """
    leaves, structure = jax.tree.flatten(tree)
    damaged = f"{os.fspath(path)}: damaged; remove the file, and what it holds is made again"
    try:
        found, stated = tensors.read(path)
    except tensors.TensorsError as error:
        raise ValueError(f"{damaged} ({error})") from None
    if _digest(found) != stated.get("sha256"):
        raise ValueError(damaged)
    if [array.shape for array in found.values()] != [np.shape(leaf) for leaf in leaves]:
        raise ValueError(f"{os.fspath(path)}: its arrays do not fit this configuration")
    return jax.tree.unflatten(structure, [jax.numpy.asarray(array) for array in found.values()])
