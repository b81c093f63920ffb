"""Transformers on the whole way: data, children, early stopping, final test."""

import numpy as np
import pytest

from greennas_jax.accuracy import children, datasets, execution, final_test, training
from greennas_jax.spec.network import SpecError
from tests.accuracy import random_variants, transformers

RECIPE = training.Recipe(epochs=2, batch_size=32)


def _smaller(network):
    """Return a network with fewer heads and hidden units in its first block."""
    of = {"MultiHeadAttention": {"heads": 2, "head_width": 4}, "FeedForward": {"hidden": 5}}
    return network.replace(
        layers=tuple(
            layer.with_attributes(**of[layer.type]) if layer.name.endswith("0/mix") else layer
            for layer in network.layers
        )
    )


@pytest.fixture(scope="module")
def reader():
    return transformers.bert(length=14, vocabulary=5, width=16, heads=4, blocks=1, classes=2)


@pytest.fixture(scope="module")
def brackets(reader):
    found = datasets.load(
        "default", children.input_shape(reader), 2, vocabulary=children.vocabulary(reader)
    )
    # A fraction of them is enough to see that all is joined.
    few = {key: value[:400] for key, value in found._asdict().items() if "train_" in key}
    return found._replace(**few)


@pytest.mark.slow
def test_children_read_tokens(reader, brackets):
    run = execution.Execution(per_device=3)
    measured = children.make(reader, brackets, recipe=RECIPE, run=run)
    assert measured.recipe.learning_rate == 2e-3 and brackets.name == "brackets"
    first, second = measured.baseline([0, 1])
    assert 0.5 < first.accuracy < 1 and first.curve != second.curve
    dropped = random_variants.random_transformer(reader, 1, drop=1.0)
    kept, less, again = measured.evaluate([_smaller(reader), dropped, reader], [0, 0, 1])
    assert again == second and len({kept.curve, less.curve, first.curve}) == 3


@pytest.mark.slow
def test_vision_transformers_are_judged_on_digits():
    # Two epochs of 48; a tenth is chance.
    network = transformers.vit(width=16, heads=4, blocks=1, classes=10, drop=None)
    data = datasets.load("default", children.input_shape(network), children.classes(network))
    tested = final_test.compare(
        network,
        _smaller(network),
        data,
        max_drop=0.5,
        config=final_test.Config(recipe=RECIPE, seeds=(0, 1)),
        run=execution.Execution(per_device=1),
        before=final_test.Sample(accuracies=(0.4, 0.5)),
    )
    assert data.name == "digits" and tested.images == 360
    assert min(tested.after.accuracies) > 0.25 and tested.verdict == "holds"


def test_data_of_another_kind_are_refused(reader, brackets):
    real = brackets._replace(train_images=brackets.train_images.astype(np.float32))
    with pytest.raises(SpecError, match="'bert' reads token numbers; data set 'brackets' has real"):
        children.make(reader, real)
    digits = datasets.digits((8, 8, 1))
    with pytest.raises(SpecError, match="reads token numbers; data set 'digits' has real numbers"):
        children.check_fit(reader, digits)
    with pytest.raises(SpecError, match="'vit' reads real numbers; data set 'brackets' has token"):
        children.check_fit(transformers.vit(), brackets)
    with pytest.raises(SpecError, match="has token numbers"):
        final_test.compare(transformers.vit(), transformers.vit(), brackets, max_drop=0.1)
    with pytest.raises(SpecError, match=r"reads \[14\] and tells 2 .* has images \[7\] and 2"):
        children.check_fit(reader, brackets._replace(train_images=brackets.train_images[:, :7]))


def test_tokens_are_never_shifted():
    tokens = np.arange(12).reshape(2, 6)
    assert training.shifted(tokens, 0.5, None) is tokens


def test_folds_hold_out_tokens(brackets):
    images = training.joined(
        (brackets.train_images, brackets.train_labels),
        (brackets.validation_images[:100], brackets.validation_labels[:100]),
    )
    assert images.images.dtype == np.int32 and training.folds(images) == 5
    held = np.concatenate([training.folded(images, fold).held for fold in range(5)])
    assert sorted(held.tolist()) == list(range(500))
