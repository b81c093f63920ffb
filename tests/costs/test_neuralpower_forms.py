import numpy as np
import pytest

from greennas_jax.costs import neuralpower, neuralpower_features, neuralpower_forms
from greennas_jax.costs.neuralpower_forms import Form
from greennas_jax.costs.neuralpower_model import Range
from tests.costs import measured_layers


@pytest.fixture(scope="module")
def case():
    """Return features, ranges, runtimes and folds of 60 inner products."""
    layers = measured_layers.inner_products(60, 5)
    found = neuralpower_features.values(layers)
    names = neuralpower_features.of_kind("inner_product", ("INNER_PRODUCT",))
    ranges = [Range(n, float(found[n].min()), float(found[n].max())) for n in names]
    return found, ranges, measured_layers.accelerator(layers, 5)[0], np.arange(60) % 10


def test_the_forms_of_a_runtime(case):
    _, ranges, _, _ = case
    forms = neuralpower_forms.runtime_forms("inner_product", ranges)
    names = ["constant", "counted", "polynomial", "relative", "logarithmic"]
    assert [form.name for form in forms] == names
    # Batch and both widths vary: (3 + 3)! / (3! 3!) - 1 = 19 monomials, and 7 products.
    assert [len(form.candidates) for form in forms] == [0, 0, 26, 26, 26]
    assert [len(form.counted) for form in forms] == [0, 8, 0, 8, 8]
    assert ("batch", "in_channels", "in_channels") in forms[2].candidates
    assert ("log2 batch", "log2 in_channels", "log2 in_channels") in forms[3].candidates


def test_the_forms_of_power(case):
    _, ranges, _, _ = case
    forms = neuralpower_forms.power_forms("inner_product", ranges)
    assert [form.name for form in forms] == ["constant", "polynomial", "logarithmic"]
    # 6 names to degree 2, (6 + 2)! / (6! 2!) - 1 = 27, and 7 products and their logarithms;
    # 3 logarithms to degree 2, 5! / (3! 2!) - 1 = 9, and 7 logarithms.
    assert [len(form.candidates) for form in forms] == [0, 41, 16]


def test_what_may_be_zero_has_no_logarithm():
    ranges = [Range("batch", 1.0, 8.0), Range("padding", 0.0, 3.0), Range("kernel", 3.0, 3.0)]
    relative = neuralpower_forms.runtime_forms("pooling", ranges)[3]
    assert {name for factors in relative.candidates for name in factors} == {
        "log2 batch",
        "padding",
    }


def test_many_hyper_parameters_lower_the_degree():
    names = ["batch", "size", *(f"is {letter}" for letter in "abcdefghijklmnop")]
    ranges = [Range(name, 0.0, 1.0) for name in names]
    candidates = neuralpower_forms.runtime_forms("elementwise", ranges)[2].candidates
    assert max(len(factors) for factors in candidates) == 2
    assert len(candidates) <= neuralpower_forms.MOST_CANDIDATES


def test_the_best_constant():
    measured = np.array([1.0, 2.0] * 10)
    folds = np.repeat(np.arange(10), 2)
    judged = neuralpower_forms.cross_validate(neuralpower_forms.CONSTANT, {}, (), measured, folds)
    # sum(1/t) / sum(1/t^2) of as many ones as twos is 1.5 / 1.25, whichever pair is left out.
    assert judged.formula.constant == pytest.approx(1.2)
    np.testing.assert_allclose(judged.predicted, 1.2)
    assert (judged.formula.lowest, judged.formula.highest) == (1.0, 2.0)


def test_a_constant_knows_the_other_folds_alone():
    measured = np.repeat([1.0, 2.0, 4.0, 4.0], 5)
    judged = neuralpower_forms.cross_validate(
        neuralpower_forms.CONSTANT, {}, (), measured, np.repeat([0, 1, 2, 3], 5)
    )
    # Without the ones 1/2 + 1/4 + 1/4 over 1/4 + 1/16 + 1/16, without the twos 1.5 / 1.125.
    np.testing.assert_allclose(judged.predicted[[0, 5]], [1 / 0.375, 1.5 / 1.125])


@pytest.mark.parametrize("name", ["polynomial", "relative", "logarithmic"])
def test_a_prediction_knows_nothing_of_its_own_fold(name, case):
    found, ranges, measured, folds = case
    form = next(
        form
        for form in neuralpower_forms.runtime_forms("inner_product", ranges)
        if form.name == name
    )
    honest = neuralpower_forms.cross_validate(form, found, ranges, measured, folds)
    held = folds == 3
    spoiled = np.where(held, 100 * measured, measured)
    again = neuralpower_forms.cross_validate(form, found, ranges, spoiled, folds)
    np.testing.assert_array_equal(again.predicted[held], honest.predicted[held])
    assert not np.allclose(again.predicted[~held], honest.predicted[~held])


@pytest.mark.parametrize("name", ["polynomial", "relative", "logarithmic"])
def test_a_formula_is_what_was_learnt(name, case):
    found, ranges, measured, folds = case
    form = next(
        form
        for form in neuralpower_forms.runtime_forms("inner_product", ranges)
        if form.name == name
    )
    formula = neuralpower_forms.cross_validate(form, found, ranges, measured, folds).formula
    value = neuralpower.evaluate(formula, found, {entry.feature: entry for entry in ranges})
    # The fit to its own layers is about as good as their noise of 10 %.
    assert np.sqrt(np.mean((value / measured - 1) ** 2)) < 0.13
    assert len(formula.terms) < len(form.candidates)
    assert all(term.coefficient != 0 for term in formula.terms)
    assert all(term.coefficient > 0 for term in formula.counted)
    assert bool(formula.counted) == (name != "polynomial")


def test_a_term_that_explains_everything_is_found():
    rng = np.random.default_rng(0)
    found = {name: rng.uniform(1, 10, 80) for name in ("a", "b", "c")}
    ranges = [Range(name, float(v.min()), float(v.max())) for name, v in found.items()]
    measured = 2.0 + 3.0 * found["a"] * found["b"]
    form = Form("polynomial", neuralpower_features.monomials(("a", "b", "c"), 2))
    judged = neuralpower_forms.cross_validate(form, found, ranges, measured, np.arange(80) % 10)
    largest = max(judged.formula.terms, key=lambda term: abs(term.coefficient))
    assert largest.factors == ("a", "b")
    # Coefficients are for features over their largest value.
    scale = ranges[0].upper * ranges[1].upper
    assert largest.coefficient / scale == pytest.approx(3.0, rel=0.05)
    assert np.sqrt(np.mean((judged.predicted / measured - 1) ** 2)) < 0.02


def test_counted_work_is_found():
    rng = np.random.default_rng(0)
    found = {name: rng.uniform(1, 10, 40) for name in ("a", "b")}
    ranges = [Range(name, float(v.min()), float(v.max())) for name, v in found.items()]
    measured = 2.0 + 3.0 * found["a"]
    form = Form("counted", (), ((), ("a",), ("b",)))
    judged = neuralpower_forms.cross_validate(form, found, ranges, measured, np.arange(40) % 10)
    np.testing.assert_allclose(judged.predicted, measured, rtol=1e-9)
    formula = judged.formula
    assert formula.constant == pytest.approx(1.0)
    assert not formula.terms
    # Features are over their largest value; whatever b might explain, a does.
    counted = {term.factors: term.coefficient for term in formula.counted}
    assert counted[()] == pytest.approx(2.0)
    assert counted[("a",)] == pytest.approx(3.0 * ranges[0].upper)
    assert counted.get(("b",), 0.0) == pytest.approx(0.0, abs=1e-9)
