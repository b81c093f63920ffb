"""A made-up table of NAS-Bench-201: good cells have many convolutions, which cost."""

import numpy as np

from greennas_jax.accuracy import table
from greennas_jax.search import table_problem
from greennas_jax.spaces import nasbench201
from greennas_jax.spaces import nasbench201_strings as strings

SPACE = nasbench201.CellSpace()
COLUMNS = table.Columns(accuracy="acc", cost="mj")
LOST = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def figures(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy saturates in what costs; which edge an operation is on counts a little."""
    gain = np.array([0.9, 0.6, 0.3, 0.2, 0.0])[tokens] * np.array([1.0, 0.8, 1.1, 0.7, 1.0, 1.2])
    price = np.array([4.0, 1.0, 0.5, 0.1, 0.0])[tokens].sum(1) + 1.0
    return 0.9 - 0.6 * np.exp(-gain.sum(1)), price


def text() -> str:
    """Return the table as CSV: one row for each class that is a network, and one that is none."""
    tokens = SPACE.every()
    rows = zip(map(strings.text, tokens), *figures(tokens), strict=True)
    lines = [f"{name},{float(acc)!r},{float(cost)!r}" for name, acc, cost in rows]
    return "\n".join(["arch_str,acc,mj", *lines, f"{LOST},0.1,0.5"]) + "\n"


def problem(**settings) -> table_problem.TableProblem:
    tokens = SPACE.every()
    accuracy, costs = figures(tokens)
    return table_problem.TableProblem(
        space=SPACE,
        tokens=tokens,
        texts=tuple(map(strings.text, tokens)),
        accuracy=accuracy,
        costs=costs,
        floor=0.1,
        **settings,
    )
