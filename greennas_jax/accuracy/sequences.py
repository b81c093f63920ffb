"""Sequence tasks made here: token numbers with exact labels, two classes in equal shares.

They ask what only a network that relates places can tell:

- `parity`: bits 0 and 1; class 1 where the number of ones is odd. No single token, pair or any part
  of a sequence tells anything: small networks hardly learn it beyond a few bits;
- `copy`: class 1 where the second half repeats the first, class 0 where one to three of its tokens
  were replaced by others;
- `brackets`: two kinds of brackets (one with fewer than five tokens), token 2 k opens and 2 k + 1
  closes kind k, and one more token fills up behind; class 1 where every bracket closes the last
  open one of its kind (a Dyck word), class 0 where a Dyck word was broken by few or many pairs of
  its brackets changing places or, in one of four, by one becoming another: short words and much
  disorder are seen at once, one wrong place in a long word hardly.

Every sequence is there once, so that no test sequence is trained on.

Shapes: N sequences, S places.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MOST_KINDS = 2
MOST_CHANGES = 3
# Draws without a new sequence after which there are taken to be too few.
PATIENCE = 2000


class Task(NamedTuple):
    """One task.

    Attributes:
      draw: (label, length, vocabulary, random generator) -> one sequence, int [S].
      least_length: Fewest places.
      least_vocabulary: Fewest tokens.
    """

    draw: Callable[[int, int, int, np.random.Generator], np.ndarray]
    least_length: int
    least_vocabulary: int


class TooFewError(ValueError):
    """A task has too few different sequences of a length and vocabulary."""


def _parity(label: int, length: int, vocabulary: int, rng: np.random.Generator) -> np.ndarray:
    del vocabulary
    found = rng.integers(0, 2, length)
    found[-1] = (label - found[:-1].sum()) % 2
    return found


def _copy(label: int, length: int, vocabulary: int, rng: np.random.Generator) -> np.ndarray:
    """Return two halves; the middle of an odd length is any token."""
    half = length // 2
    first = rng.integers(0, vocabulary, half)
    second = first.copy()
    if not label:
        places = rng.permutation(half)[: rng.integers(1, min(MOST_CHANGES, half) + 1)]
        others = rng.integers(1, vocabulary, len(places))
        second[places] = (second[places] + others) % vocabulary
    return np.concatenate([first, rng.integers(0, vocabulary, length % 2), second])


def balanced(sequence: np.ndarray, kinds: int) -> bool:
    """Return whether every bracket closes the last open one of its kind.

    Args:
      sequence: int [S]; tokens from 2 x kinds on are no brackets.
      kinds: Kinds of brackets.
    """
    waiting: list[int] = []
    for token in sequence.tolist():
        if token >= 2 * kinds:
            continue
        if token % 2 == 0:
            waiting.append(token + 1)
        elif not waiting or waiting.pop() != token:
            return False
    return not waiting


def _dyck(length: int, kinds: int, rng: np.random.Generator) -> np.ndarray:
    """Return a Dyck word of an even length, steps up and down alike probable where both may be."""
    word: list[int] = []
    waiting: list[int] = []
    while len(word) < length:
        must_close = len(waiting) == length - len(word)
        if waiting and (must_close or rng.random() < 0.5):
            word.append(waiting.pop())
        else:
            kind = int(rng.integers(kinds))
            word.append(2 * kind)
            waiting.append(2 * kind + 1)
    return np.asarray(word)


def _brackets(label: int, length: int, vocabulary: int, rng: np.random.Generator) -> np.ndarray:
    """Return a Dyck word or a broken one of any even length from 4, filled up."""
    kinds = bracket_kinds(vocabulary)
    word = _dyck(2 * int(rng.integers(2, length // 2 + 1)), kinds, rng)
    while not label and balanced(word, kinds):
        if rng.random() < 0.25:
            word[rng.integers(len(word))] = rng.integers(2 * kinds)
            continue
        for _ in range(rng.integers(1, len(word) // 2 + 1)):
            places = rng.permutation(len(word))[:2]
            word[places] = word[places[::-1]]
    return np.concatenate([word, np.full(length - len(word), 2 * kinds)])


def bracket_kinds(vocabulary: int) -> int:
    """Return how many kinds of brackets a vocabulary holds beside one other token."""
    return min((vocabulary - 1) // 2, MOST_KINDS)


TASKS = {
    "parity": Task(_parity, 2, 2),
    "copy": Task(_copy, 4, 2),
    "brackets": Task(_brackets, 4, 3),
}


def make(
    name: str, count: int, length: int, vocabulary: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences of a task, all different, classes in equal shares and random order.

    Args:
      name: One of TASKS.
      count: N.
      length: S.
      vocabulary: Tokens that may be named.
      seed: Decides everything.

    Returns:
      int32 [N, S] and labels int32 [N].

    Raises:
      TooFewError: If the task does not have as many sequences, or needs longer ones or more tokens.
    """
    task = TASKS[name]
    if length < task.least_length or vocabulary < task.least_vocabulary:
        raise TooFewError(
            f"'{name}' needs sequences of {task.least_length} tokens or more and a vocabulary of "
            f"{task.least_vocabulary} or more; the network reads {length} of {vocabulary}"
        )
    rng = np.random.default_rng([seed, *name.encode()])
    found: dict[bytes, tuple[np.ndarray, int]] = {}
    idle = 0
    while len(found) < count:
        label = len(found) % 2
        sequence = task.draw(label, length, vocabulary, rng).astype(np.int32)
        before = len(found)
        found.setdefault(sequence.tobytes(), (sequence, label))
        idle = 0 if len(found) > before else idle + 1
        if idle > PATIENCE:
            raise TooFewError(
                f"'{name}' has too few different sequences of {length} tokens from {vocabulary}: "
                f"{count} wanted, {before} found"
            )
    sequences, labels = zip(*found.values(), strict=True)
    order = rng.permutation(count)
    return np.stack(sequences)[order], np.asarray(labels, np.int32)[order]
