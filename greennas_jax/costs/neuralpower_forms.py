"""Forms of formula that compete for a quantity, and how each is fitted and judged.

Shapes: N measured layers, P candidate terms, A penalties.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.costs import neuralpower_features
from greennas_jax.costs.neuralpower_features import LOG, monomials
from greennas_jax.costs.neuralpower_model import Formula, Range, Term

Columns = Mapping[str, np.ndarray]

# Degrees of the published models: runtime 3, power 2 (Cai et al., ACML 2017, sections 4.1, 4.2).
RUNTIME_DEGREE = 3
POWER_DEGREE = 2
# Beyond, the degree is lowered: lasso over more candidates than that is slow and gains nothing.
MOST_CANDIDATES = 400
# Penalties from the least that leaves no term down to this share of it.
PENALTIES = 16
LEAST_PENALTY = 3e-4
ITERATIONS = 200
TOLERANCE = 1e-3
# Folds among the folds that a prediction may learn from, to choose its penalty.
INNER_FOLDS = 3


class Form(NamedTuple):
    """A form of formula before it is fitted.

    Attributes:
      name: One of `neuralpower_model.FORMS`.
      candidates: Factors of every term that lasso may choose.
      counted: Factors of every term of the base, which is 1 without any.
    """

    name: str
    candidates: tuple[tuple[str, ...], ...] = ()
    counted: tuple[tuple[str, ...], ...] = ()


CONSTANT = Form("constant")


class Judged(NamedTuple):
    """The formula from all layers, and each layer's value [N] predicted without its fold."""

    formula: Formula
    predicted: np.ndarray


class _Data(NamedTuple):
    """Layers to learn from or to predict: candidates [N, P], base terms [N, C], measured [N]."""

    candidates: np.ndarray
    counted: np.ndarray
    measured: np.ndarray

    def rows(self, chosen: np.ndarray) -> "_Data":
        return _Data(*(column[chosen] for column in self))


class _Learnt(NamedTuple):
    """Coefficients at every penalty [P, A], constants [A], base [C] and limits of the ratio."""

    weights: np.ndarray
    constants: np.ndarray
    base: np.ndarray
    lowest: float
    highest: float


def runtime_forms(kind: str, ranges: Sequence[Range]) -> tuple[Form, ...]:
    """Return the forms for a runtime: constant, counted, as published, and corrected counts.

    What is counted from the work alone says most where few layers were measured.
    """
    names, logs, products = _varying(kind, ranges)
    relative = (*_within(logs, RUNTIME_DEGREE), *((_log(name),) for name in products))
    counted = ((), *((name,) for name in products))
    published = (*_within(names, RUNTIME_DEGREE), *((name,) for name in products))
    return (
        CONSTANT,
        Form("counted", (), counted),
        Form("polynomial", published),
        Form("relative", relative, counted),
        Form("logarithmic", relative, counted),
    )


def power_forms(kind: str, ranges: Sequence[Range]) -> tuple[Form, ...]:
    """Return the forms for power: constant, as published, and of its logarithm."""
    names, logs, products = _varying(kind, ranges)
    each = tuple((name,) for name in products)
    log_each = tuple((_log(name),) for name in products)
    both = (*names, *(name for name in logs if name.startswith(LOG)))
    return (
        CONSTANT,
        Form("polynomial", (*_within(both, POWER_DEGREE), *each, *log_each)),
        Form("logarithmic", (*_within(logs, POWER_DEGREE), *log_each)),
    )


def _log(feature: str) -> str:
    return f"{LOG}{feature}"


def _varying(
    kind: str, ranges: Sequence[Range]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return hyper-parameters that vary, the same in logarithms, and products that vary.

    What may be zero has no logarithm and stays itself; a product that may be zero is left out.
    """
    products = neuralpower_features.PRODUCTS[kind]
    vary = [entry for entry in ranges if entry.upper > entry.lower]
    chosen = [limits for limits in vary if limits.feature not in products]
    return (
        tuple(limits.feature for limits in chosen),
        tuple(limits.feature if limits.lower <= 0 else _log(limits.feature) for limits in chosen),
        tuple(entry.feature for entry in vary if entry.feature in products and entry.lower > 0),
    )


def _within(names: Sequence[str], degree: int) -> tuple[tuple[str, ...], ...]:
    """Return the monomials up to a degree, lowered where they would be too many."""
    found = monomials(names, degree)
    while len(found) > MOST_CANDIDATES and degree > 1:
        degree -= 1
        found = monomials(names, degree)
    return found


def cross_validate(
    form: Form, found: Columns, ranges: Sequence[Range], measured: np.ndarray, folds: np.ndarray
) -> Judged:
    """Fit a form and predict every layer from the layers of the other folds.

    Args:
      form: What is fitted.
      found: Features [N].
      ranges: Their ranges.
      measured: Positive values [N].
      folds: Fold of each layer [N].
    """
    limits = {entry.feature: entry for entry in ranges}
    ones = np.ones((len(measured), 0))
    data = _Data(
        neuralpower_features.design(form.candidates, found, limits) if form.candidates else ones,
        neuralpower_features.design(form.counted, found, limits) if form.counted else ones,
        measured,
    )
    predicted = np.empty_like(measured)
    for fold in np.unique(folds):
        others = np.flatnonzero(folds != fold)
        inner = np.searchsorted(np.unique(folds[others]), folds[others]) % INNER_FOLDS
        learnt = _learn(form, data.rows(others), inner)
        predicted[folds == fold] = _values(form, learnt, data.rows(folds == fold))[:, 0]
    return Judged(_formula(form, _learn(form, data, folds)), predicted)


def _learn(form: Form, data: _Data, folds: np.ndarray) -> _Learnt:
    """Return what is learnt from layers at the penalty that predicts held-out folds best."""
    penalties = _penalties(form, data)
    predicted = np.empty((len(data.measured), len(penalties)))
    for fold in np.unique(folds):
        held = folds == fold
        learnt = _path(form, data.rows(~held), penalties)
        predicted[held] = _values(form, learnt, data.rows(held))
    ratio = predicted / data.measured[:, None]
    scale = np.ones(len(penalties))
    if form.name == "logarithmic":
        # The median of what a logarithm predicts; a relative error is least somewhat below.
        scale = ratio.sum(axis=0) / (ratio**2).sum(axis=0)
    best = int(np.argmin(((scale * ratio - 1) ** 2).mean(axis=0)))
    learnt = _path(form, data, penalties[: best + 1])
    constants = learnt.constants[-1:]
    if form.name == "logarithmic":
        constants = constants + np.log2(scale[best])
    return learnt._replace(weights=learnt.weights[:, -1:], constants=constants)


class _Standard(NamedTuple):
    """A standardised problem: candidates [N, P] and target [N], and what undoes it."""

    candidates: np.ndarray
    target: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    mean_target: float
    base: np.ndarray
    ratio: np.ndarray


def _standard(form: Form, data: _Data) -> _Standard:
    """Return the problem in units of the base, standardised by weighted means and deviations.

    With ratio r = measured / base, an error of the polynomial q is (q - r) / r of the measured
    value: a sample weighs 1 / r^2. The logarithm's errors are relative as they are.
    """
    base = _base(data)
    ratio = data.measured / (data.counted @ base if len(base) else 1.0)
    weight = ratio**-2.0
    target = ratio
    if form.name == "logarithmic":
        weight, target = np.ones_like(ratio), np.log2(ratio)
    weight = weight / weight.mean()
    means = (weight[:, None] * data.candidates).mean(axis=0)
    centred = data.candidates - means
    deviations = np.sqrt((weight[:, None] * centred**2).mean(axis=0))
    deviations = np.where(deviations > 1e-9 * np.abs(means), deviations, np.inf)
    mean = float((weight * target).mean())
    root = np.sqrt(weight)
    return _Standard(
        centred / deviations * root[:, None],
        (target - mean) * root,
        means,
        deviations,
        mean,
        base,
        ratio,
    )


def _base(data: _Data) -> np.ndarray:
    """Return non-negative coefficients of the counted terms with the least relative error [C]."""
    if not data.counted.shape[1]:
        return np.zeros(0)
    # Only a fit needs these libraries.
    from scipy import optimize

    coefficients, _ = optimize.nnls(
        data.counted / data.measured[:, None], np.ones(len(data.measured))
    )
    return coefficients


def _penalties(form: Form, data: _Data) -> np.ndarray:
    """Return the penalties to try, the largest first [A]."""
    if not form.candidates:
        return np.ones(1)
    problem = _standard(form, data)
    largest = np.abs(problem.candidates.T @ problem.target).max() / len(data.measured)
    return max(largest, 1e-12) * np.geomspace(1.0, LEAST_PENALTY, PENALTIES)


def _path(form: Form, data: _Data, penalties: np.ndarray) -> _Learnt:
    """Return the lasso's coefficients at every penalty."""
    problem = _standard(form, data)
    limits = float(problem.ratio.min()), float(problem.ratio.max())
    if not form.candidates:
        constants = np.full(len(penalties), problem.mean_target)
        return _Learnt(np.zeros((0, len(penalties))), constants, problem.base, *limits)
    from sklearn import exceptions, linear_model

    with warnings.catch_warnings():
        # A path that is not quite converged is as good a candidate as any other.
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        # The library annotates these two options as the texts that they may also be.
        options: dict[str, Any] = {
            "alphas": penalties,
            "precompute": problem.candidates.T @ problem.candidates,
        }
        _, coefficients, *_ = linear_model.lasso_path(
            problem.candidates,
            problem.target,
            Xy=problem.candidates.T @ problem.target,
            max_iter=ITERATIONS,
            tol=TOLERANCE,
            **options,
        )
    weights = coefficients / problem.deviations[:, None]
    constants = problem.mean_target - problem.means @ weights
    return _Learnt(weights, constants, problem.base, *limits)


def _values(form: Form, learnt: _Learnt, data: _Data) -> np.ndarray:
    """Return predictions at every penalty [N, A]."""
    value = learnt.constants + data.candidates @ learnt.weights
    if form.name == "logarithmic":
        value = np.exp2(value)
    value = np.clip(value, learnt.lowest, learnt.highest)
    return value * (data.counted @ learnt.base)[:, None] if len(learnt.base) else value


def _formula(form: Form, learnt: _Learnt) -> Formula:
    """Return what was learnt as a formula, without the terms that lasso left out."""
    weights = learnt.weights[:, 0]
    return Formula(
        form=form.name,
        constant=float(learnt.constants[0]),
        terms=_terms(weights, form.candidates),
        counted=_terms(learnt.base, form.counted),
        lowest=learnt.lowest,
        highest=learnt.highest,
    )


def _terms(coefficients: np.ndarray, factors: Sequence[tuple[str, ...]]) -> tuple[Term, ...]:
    pairs = zip(coefficients.tolist(), factors, strict=True)
    return tuple(Term(value, names) for value, names in pairs if value != 0)
