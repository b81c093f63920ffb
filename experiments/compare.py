r"""Compare search algorithms: same space, oracle, budget and seeds, judged on fresh trainings.

python experiments/compare.py --spec=configs/specs/lenet5.json --device=titan_x \
    --dataset=digits --seeds=0,1,2,3,4 --workdir=runs/compare_lenet5

Every run is a journey of its own in WORKDIR/ALGORITHM_SEED; a killed comparison goes on where it
stopped. Writes comparison.csv, and prints it with the means.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import command_line
import journey_flags
import listening
import runtime
import several
import tqdm
from absl import flags

from greennas_jax import checkpoints, journey
from greennas_jax.report import evidence, files, ranking
from greennas_jax.search import loop

_SPEC, _DEVICE = journey_flags.define_network()
_ALGORITHMS = flags.DEFINE_list(
    "algorithms",
    ["latent", "additive", "evolution", "random"],
    "Of latent, additive, evolution, random.",
)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Seeds, parted by commas.")


def _seeds() -> list[int]:
    """Return the seeds of a comparison that has something to compare."""
    wrong = [text for text in _SEEDS.value if not text.isdecimal()]
    if wrong or not _SEEDS.value:
        raise ValueError(f"--seeds has {wrong[0] if wrong else 'none'!r}; whole numbers needed")
    unknown = [repr(name) for name in _ALGORITHMS.value if name not in loop.RIVALS]
    if unknown or not _ALGORITHMS.value:
        raise ValueError(
            f"--algorithms names {unknown[0] if unknown else 'none'}; allowed: "
            + ", ".join(loop.RIVALS)
        )
    return [int(text) for text in _SEEDS.value]


def _request(request: journey.Request, algorithm: str, seed: int) -> journey.Request:
    search = dataclasses.replace(request.config.search, algorithm=algorithm)
    config = dataclasses.replace(request.config, search=search, seed=seed)
    return dataclasses.replace(request, config=config)


def main() -> None:
    """Run every algorithm on every seed and compare what they found."""
    several.refuse(
        "a comparison's searches are runs of their own; start optimize.py on many processes"
    )
    given, seeds = journey_flags.request(_SPEC.value, _DEVICE.value), _seeds()
    folder = pathlib.Path(journey_flags.WORKDIR.value)
    # Bad names are told before the first run.
    requests = {
        (algorithm, seed): _request(given, algorithm, seed)
        for seed in seeds
        for algorithm in _ALGORITHMS.value
    }
    runtime.prepare()
    journey.check_solvable(given)
    rows = []
    scene, scene_seed = None, None
    bar = tqdm.tqdm(requests.items(), unit="search", disable=not sys.stderr.isatty())
    for (algorithm, seed), request in bar:
        workdir = checkpoints.claim(folder / f"{algorithm}_{seed}", journey.identity(request))
        # Kept for one configuration alone: whoever searches, the given network is trained alike.
        alike = journey.identity(_request(given, loop.RIVALS[0], seed))
        shared = checkpoints.claim(folder / f"given_{seed}", alike) / "checkpoints"
        report = journey.finished(workdir)
        if report is None:
            # A proxy's images are the seed's; a data set and its template serve all seeds.
            if scene is None or (scene.data is None and scene_seed != seed):
                scene, scene_seed = journey.set_out(request), seed
            listener = listening.listener(workdir, bars=False)
            report = journey.travel(request, workdir, listener, scene, shared)
            listener.close()
        rows.append(ranking.row(report, algorithm, seed))
        bar.clear()
        print(ranking.line(rows[-1]), flush=True)
    files.write_text(folder / "comparison.csv", evidence.history_csv(rows))
    print(ranking.table(rows))


if __name__ == "__main__":
    command_line.run(main)
