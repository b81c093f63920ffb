r"""Measure the project's own speed and quality on this machine: one suite per run.

python experiments/benchmark.py --suite=children --json=runs/children.json

Every suite compares with a reference that runs in the same process, and says which. `--small` does
as little as shows that a suite works; its figures mean nothing.
"""

import json
import sys

import command_line
import runtime
from absl import flags
from benchmarks import suites

from greennas_jax.report import files, telling

_SUITE = flags.DEFINE_enum("suite", None, suites.names(), suites.described(), required=True)
_JSON = flags.DEFINE_string("json", None, "Write what was measured into this file, too.")
_SMALL = flags.DEFINE_bool("small", False, "Do very little: a test that the suite works.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of every random choice.", lower_bound=0)
_SPEC = flags.DEFINE_string(
    "spec", None, "The given network, a file in Paleo's JSON, where a suite has one."
)
_TABLE = flags.DEFINE_string(
    "table", None, "The file of a tabular benchmark, where a suite reads one."
)
_ACCURACY_COLUMN = flags.DEFINE_string(
    "accuracy_column", "cifar100_acc", "The table's column of accuracies."
)
_COST_COLUMN = flags.DEFINE_string(
    "cost_column", "pi5_onnx_cifar100_energy_mj", "The table's column of energies [mJ]."
)
_LATENCY_COLUMN = flags.DEFINE_string(
    "latency_column", "pi5_onnx_cifar100_latency_ms", "The table's column of latencies [ms]."
)
_COST = flags.DEFINE_enum(
    "cost", "free", ["free", "queried"], "Whether searches know costs, or ask for them."
)
_SEEDS = flags.DEFINE_integer("seeds", 20, "Searches of each kind.", lower_bound=1)
_BUDGET = flags.DEFINE_integer("budget", 200, "Queries of a search.", lower_bound=1)
_KEEP = flags.DEFINE_string("keep", None, "Folder of searches' queries, to go on with.")
_PICTURE = flags.DEFINE_string("picture", None, "PNG file of what searches reach.")
_ONLY = flags.DEFINE_list("only", [], "Names of the searches to run; all by default.")


def main() -> None:
    """Run the suite that the flags name and print its figures as JSON."""
    options = suites.Options(
        small=_SMALL.value,
        seed=_SEED.value,
        spec=_SPEC.value,
        table=_TABLE.value,
        accuracy_column=_ACCURACY_COLUMN.value,
        cost_column=_COST_COLUMN.value,
        latency_column=_LATENCY_COLUMN.value,
        cost=_COST.value,
        seeds=_SEEDS.value,
        budget=_BUDGET.value,
        keep=_KEEP.value,
        picture=_PICTURE.value,
        only=tuple(_ONLY.value),
        tell=telling.Bars() if sys.stderr.isatty() else telling.Listener(),
    )
    suite = suites.get(_SUITE.value)
    # What a suite measures is never an old compilation.
    runtime.prepare(cache=False)
    found = suites.document(suite, options)
    options.tell.close()
    print(json.dumps(found, indent=2, allow_nan=False))
    if _JSON.value:
        files.write_json(_JSON.value, found)


if __name__ == "__main__":
    command_line.run(main)
