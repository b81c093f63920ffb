"""Cells of NAS-Bench-201 as strings: their public text, dead edges and isomorphism classes.

A cell has nodes 0 to 3; an operation on each edge a -> b, a < b, maps node a, and node b is the sum
of what arrives (Dong and Yang 2020, section 2.1). Edges are ordered as in the public text:
0 -> 1; 0 -> 2, 1 -> 2; 0 -> 3, 1 -> 3, 2 -> 3. A token is an index into OPERATIONS.

Shapes: n strings, 6 positions.
"""

import functools
import itertools

import numpy as np

from greennas_jax.spec.network import SpecError, shown

OPERATIONS = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "none")
SKIP, NONE = OPERATIONS.index("skip_connect"), OPERATIONS.index("none")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
OUTPUT = 3
EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
_PLACES = len(OPERATIONS) ** np.arange(len(EDGES))[::-1]


def parse(text: str) -> np.ndarray:
    """Return the tokens int32 [6] of a cell's public text.

    Raises:
      SpecError: If the text is not that of a cell of this space.
    """
    nodes = text.strip().split("+")
    if len(nodes) != OUTPUT:
        raise SpecError(f"cell {shown(text)} has {len(nodes)} nodes; allowed: 3, as {EXAMPLE}")
    tokens = []
    for number, node in enumerate(nodes, 1):
        parts = node.split("|")
        if len(parts) != number + 2 or parts[0] or parts[-1]:
            raise SpecError(
                f"cell {shown(text)}, node {number}: {shown(node)}; allowed: {number} of "
                f"|operation~source|, as in {EXAMPLE}"
            )
        for source, part in enumerate(parts[1:-1]):
            operation, _, place = part.partition("~")
            if operation not in OPERATIONS:
                allowed = ", ".join(OPERATIONS)
                raise SpecError(
                    f"cell {shown(text)}, node {number}: operation {shown(operation)}; "
                    f"allowed: {allowed}"
                )
            if place != str(source):
                raise SpecError(
                    f"cell {shown(text)}, node {number}: source {shown(place)} of {operation}; "
                    f"allowed: {source}"
                )
            tokens.append(OPERATIONS.index(operation))
    return np.asarray(tokens, np.int32)


def text(tokens: np.ndarray) -> str:
    """Return the public text of a string [6]."""
    nodes = [
        "|"
        + "".join(
            f"{OPERATIONS[int(token)]}~{source}|"
            for token, (source, target) in zip(tokens, EDGES, strict=True)
            if target == node
        )
        for node in range(1, OUTPUT + 1)
    ]
    return "+".join(nodes)


def live_edges(tokens: np.ndarray) -> tuple[bool, ...]:
    """Return which edges of a string [6] lie on a path without `none` from node 0 to node 3."""
    reached, needed = {0}, {OUTPUT}
    for token, (source, target) in zip(tokens, EDGES, strict=True):
        if token != NONE and source in reached:
            reached.add(target)
    for token, (source, target) in reversed(list(zip(tokens, EDGES, strict=True))):
        if token != NONE and target in needed:
            needed.add(source)
    return tuple(
        bool(token != NONE and source in reached and target in needed)
        for token, (source, target) in zip(tokens, EDGES, strict=True)
    )


def topology(tokens: np.ndarray) -> str:
    """Return a text that cells of one isomorphism class share.

    Nodes are written as sums of what arrives, in alphabetical order; an identity hands its source
    on, and what is zero is written `#` (Dong and Yang 2020, section 2.1: 6,466 classes). A sum of
    more zeros, or of the same terms in another nesting, computes the same and is another class:
    so were the cells trained and measured.
    """
    nodes = ["0", *[""] * OUTPUT]
    for node in range(1, OUTPUT + 1):
        arriving = []
        for token, (source, target) in zip(tokens, EDGES, strict=True):
            if target != node:
                continue
            if token == NONE or nodes[source] == "#":
                arriving.append("#")
            elif token == SKIP:
                arriving.append(nodes[source])
            else:
                arriving.append(f"({nodes[source]})@{OPERATIONS[token]}")
        nodes[node] = "+".join(sorted(arriving))
        if set(arriving) == {"#"} and len(arriving) == 1:
            nodes[node] = "#"
    return nodes[OUTPUT]


def function_of(tokens: np.ndarray) -> str:
    """Return a text that cells share which compute the same: zeros dropped, sums flattened."""
    nodes: list[tuple[str, ...]] = [("0",)]
    for node in range(1, OUTPUT + 1):
        terms: list[str] = []
        for token, (source, target) in zip(tokens, EDGES, strict=True):
            if target != node or token == NONE or not nodes[source]:
                continue
            if token == SKIP:
                terms.extend(nodes[source])
            else:
                terms.append(f"({'+'.join(nodes[source])})@{OPERATIONS[token]}")
        nodes.append(tuple(sorted(terms)))
    return "+".join(nodes[OUTPUT])


@functools.cache
def every() -> np.ndarray:
    """Return all strings, int32 [15625, 6], in the order of `codes`."""
    found = np.asarray(list(itertools.product(range(len(OPERATIONS)), repeat=len(EDGES))), np.int32)
    found.setflags(write=False)
    return found


def codes(tokens: np.ndarray) -> np.ndarray:
    """Return the row number of strings [n, 6] in `every`, int64 [n]."""
    return np.asarray(tokens, np.int64) @ _PLACES


@functools.cache
def classes() -> np.ndarray:
    """Return for each row of `every` the last row of its isomorphism class, int64 [15625]."""
    texts = [topology(row) for row in every()]
    last = {found: number for number, found in enumerate(texts)}
    return np.asarray([last[found] for found in texts])


@functools.cache
def connected() -> np.ndarray:
    """Return which rows of `every` have a path from node 0 to node 3, bool [15625]."""
    return np.asarray([any(live_edges(row)) for row in every()])
