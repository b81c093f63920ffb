"""What a run leaves behind so that the same command goes on where it stopped.

Every training is logged as it ends, by architecture and seed; a resumed run asks for the same
trainings in the same order and is answered from the log, so that it ends like an unbroken one.
"""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from greennas_jax.accuracy.oracle import Trial
from greennas_jax.report import files

Path = str | os.PathLike[str]


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
                )
                self._known[keys[i]] = found
                lines.append(json.dumps({"key": keys[i], **found._asdict()}, allow_nan=False))
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("".join(line + "\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
        return [self._known[key] for key in keys]


def _read_trials(path: pathlib.Path) -> dict[str, Trial]:
    """Return the logged trials; a last line that was cut off by a kill is dropped."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        files.write_text(path, whole)
    found = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
            found[row["key"]] = Trial(
                float(row["accuracy"]),
                bool(row["stopped"]),
                float(row["epochs"]),
                tuple(float(value) for value in row["curve"]),
            )
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
    return [] if before == after else [f"{path} was {before!r}, is {after!r}"]


def claim(workdir: Path, config: dict[str, Any]) -> pathlib.Path:
    """Make a workdir the run's own, or find that it already is.

    Args:
      workdir: Created where missing.
      config: JSON value of everything that decides the result.

    Raises:
      ValueError: If the workdir holds a run of another configuration; the differences are named.
      OSError: If it cannot be written.
    """
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    stated = folder / "config.json"
    if stated.exists():
        try:
            before = json.loads(stated.read_text(encoding="utf-8"))
        except ValueError:
            raise ValueError(f"{stated}: not valid JSON; is {folder} a run's workdir?") from None
        changed = differences(before, json.loads(json.dumps(config)))
        if changed:
            raise ValueError(
                f"{folder} holds a run of another configuration: {'; '.join(changed)}; "
                "choose another --workdir"
            )
    files.write_json(stated, config)
    (folder / "checkpoints").mkdir(exist_ok=True)
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
    if json.loads(path.read_text(encoding="utf-8")).get("sha256") != digest:
        raise ValueError(
            f"{folder}: the images or labels of '{name}' are not those that this run began with; "
            "put them back, or choose another --workdir"
        )


def save_arrays(path: Path, tree: Any) -> None:
    """Save the array leaves of a pytree with orbax (a folder that appears when it is whole)."""
    import orbax.checkpoint as ocp

    leaves = {f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(pathlib.Path(path).absolute(), leaves, force=True)


def load_arrays(path: Path, tree: Any) -> Any:
    """Return a pytree of the same structure with the leaves that `save_arrays` saved.

    Raises:
      ValueError: If the leaves' shapes do not fit.
    """
    import orbax.checkpoint as ocp

    leaves, structure = jax.tree.flatten(tree)
    wanted = {f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(pathlib.Path(path).absolute(), wanted)
    shapes = [np.shape(found[name]) for name in wanted]
    if shapes != [np.shape(leaf) for leaf in leaves]:
        raise ValueError(f"{os.fspath(path)}: its arrays do not fit this configuration")
    return jax.tree.unflatten(structure, [jax.numpy.asarray(found[name]) for name in wanted])
