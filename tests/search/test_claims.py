import dataclasses

import numpy as np
import pytest

from greennas_jax.search import claims
from greennas_jax.search.archive import Archive, Query
from tests.search import synthetic

TOKENS = np.array([1, 0, 2, 0, 0, 1], np.int32)


def problem():
    found = synthetic.problem()
    return dataclasses.replace(found, noise=0.004, baseline=np.full(16, 0.99))


def archive(*accuracies, kind="confirm", tokens=TOKENS):
    return Archive(tuple(Query(tokens, i, kind, a, 1.0, False) for i, a in enumerate(accuracies)))


def test_claim_is_of_further_trainings_and_not_of_the_lucky_one():
    queries = archive(1.0, kind="search").queries + archive(0.982, 0.984, 0.986).queries
    found = claims.claim(problem(), Archive(queries), TOKENS)
    np.testing.assert_allclose(found.difference, 0.984 - 0.99)
    assert found.trainings == 3
    # Four of the known noise and three of its own make the variance, over three trainings; the
    # given network's is the noise over sixteen.
    own = (4 * 0.004**2 + 2 * 0.002**2) / 6 / 3
    np.testing.assert_allclose(found.standard_error, np.sqrt(own + 0.004**2 / 16))


@pytest.mark.parametrize(("tokens", "kind"), [(TOKENS, "search"), (0 * TOKENS, "confirm")])
def test_nothing_is_claimed_of_what_was_not_trained_again_nor_of_the_given(tokens, kind):
    assert claims.claim(problem(), archive(0.98, 0.99, kind=kind, tokens=tokens), tokens) is None


@pytest.mark.parametrize(
    ("difference", "agrees"), [(-0.0059, True), (0.0039, True), (-0.0062, False)]
)
def test_two_standard_errors_of_both_part_a_claim_from_the_verdict(difference, agrees):
    found = claims.Claim(-0.001, 0.0015, 12)
    # Errors of 0.0015 and 0.002 are 0.0025 together.
    assert found.agrees(difference, 0.002) is agrees
    np.testing.assert_allclose(found.apart(difference, 0.002), abs(difference + 0.001) / 0.0025)
