r"""Search a benchmark space with known answers: few accuracy queries, every one of them logged.

python experiments/search.py --space=nasbench201 --table=nb201_energy.csv.gz \
    --accuracy_column=cifar100_acc --cost_column=pi5_onnx_cifar100_energy_mj \
    --algorithm=nao --budget=200 --seeds=5 --workdir=runs/nb201

Writes WORKDIR/queries.csv (seed, step, arch_str, accuracy, energy_mj), one line for each query in
order, config.json, scalars.csv (best accuracy and hypervolume after every step) and, of nao,
checkpoints/embedding.safetensors. The same command goes on where a killed run stopped and ends with
the same files. Prints the hypervolume that the queries reach, against that of the whole table.

On several processes or hosts as optimize.py: the same command everywhere, with --coordinator,
--num_processes and --process_id.
"""

from __future__ import annotations

import dataclasses
import pathlib

import command_line
import listening
import runtime
import several
from absl import flags

from greennas_jax import checkpoints, plugins, table_search
from greennas_jax.accuracy import table as tables
from greennas_jax.mesh import handover, team
from greennas_jax.report import front_table, telling
from greennas_jax.search import front_search, table_problem, tabular

_SPACE = flags.DEFINE_string(
    "space", "nasbench201", "What is searched: nasbench201, or a space that a --plugin registers."
)
_TABLE = flags.DEFINE_string(
    "table", None, "The answers: a .csv, .csv.gz or .parquet file.", required=True
)
_ARCHITECTURE = flags.DEFINE_string(
    "architecture_column", "arch_str", "Column of the architecture's text."
)
_ACCURACY = flags.DEFINE_string(
    "accuracy_column", None, "Column of the accuracy, larger is better.", required=True
)
_COST = flags.DEFINE_string(
    "cost_column", None, "Column of the energy or another cost, above 0.", required=True
)
_LATENCY = flags.DEFINE_string("latency_column", None, "Column of the latency, checked alone.")
_ALGORITHM = flags.DEFINE_enum(
    "algorithm", "nao", ["nao", "random", "evolution", "local", "nsga2"], "Who chooses the queries."
)
_COST_MODE = flags.DEFINE_enum(
    "cost",
    "free",
    ["free", "queried"],
    "Whether the cost of every architecture is known (free), or revealed by its query (queried).",
)
_OBJECTIVE = flags.DEFINE_enum(
    "objective",
    "pareto",
    ["pareto", "accuracy", "constrained"],
    "The front of accuracy and cost, accuracy alone, or least cost at --min_accuracy.",
)
_MIN_ACCURACY = flags.DEFINE_float(
    "min_accuracy", None, "Least accuracy of --objective=constrained, in the table's unit."
)
_FLOOR = flags.DEFINE_float(
    "floor", None, "Accuracy of a network that has learned nothing; by default the table's."
)
_BUDGET = flags.DEFINE_integer("budget", 200, "Queries of distinct architectures.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 5, "Queries chosen at once.", lower_bound=1)
_SINGLY = flags.DEFINE_integer(
    "singly", 25, "Queries up to which they are chosen one by one.", lower_bound=0
)
_SEEDS = flags.DEFINE_integer("seeds", 5, "How many searches.", lower_bound=1)
_FIRST_SEED = flags.DEFINE_integer("first_seed", 0, "Seed of the first one.", lower_bound=0)
_CANDIDATES = flags.DEFINE_enum(
    "candidates",
    "latent",
    ["latent", "edits", "random", "all"],
    "Where nao's candidates come from; all scores the whole space, the upper bound.",
)
_PATHS = flags.DEFINE_enum(
    "gradient",
    "heads",
    ["both", "heads", "relaxed", "none"],
    "Which gradients nao follows; none moves at random.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the results are written.", required=True)


def _request() -> table_search.Request:
    """Return what the flags ask for."""
    default = front_search.FrontConfig()
    latent = dataclasses.replace(default.latent, paths=_PATHS.value)
    return table_search.Request(
        space=_SPACE.value,
        table=_TABLE.value,
        columns=tables.Columns(
            architecture=_ARCHITECTURE.value,
            accuracy=_ACCURACY.value,
            cost=_COST.value,
            latency=_LATENCY.value,
        ),
        algorithm=_ALGORITHM.value,
        cost_is_free=_COST_MODE.value == "free",
        objective=_OBJECTIVE.value,
        target=_MIN_ACCURACY.value,
        floor=_FLOOR.value,
        config=tabular.TabularConfig(
            budget=_BUDGET.value, batch=_BATCH.value, singly=_SINGLY.value
        ),
        front=dataclasses.replace(default, candidates=_CANDIDATES.value, latent=latent),
    )


def main() -> None:
    """Search under every seed."""
    request = _request()
    several.check()
    problem = table_search.problem(request)
    runtime.prepare(split=False)
    with several.team() as scratch:
        _search(request, problem, scratch)


def _search(
    request: table_search.Request, problem: table_problem.TableProblem, scratch: pathlib.Path
) -> None:
    """Search as one of the processes of the run."""
    seeds = range(_FIRST_SEED.value, _FIRST_SEED.value + _SEEDS.value)
    identity = {**dataclasses.asdict(request), "seeds": [seeds.start, seeds.stop]}
    identity |= {"plugins": plugins.loaded()} if plugins.loaded() else {}
    team.agree("the request", identity)
    workdir = handover.workdir(
        lambda: checkpoints.claim(_WORKDIR.value, identity), ("queries.csv", "checkpoints"), scratch
    )
    listener = listening.listener(workdir) if team.is_first() else telling.Listener()
    found = table_search.run(request, problem, seeds, workdir, listener)
    listener.close()
    if team.is_first():
        print(front_table.text(problem, found))
        print(f"queries are in {workdir / 'queries.csv'}")


if __name__ == "__main__":
    command_line.run(main)
