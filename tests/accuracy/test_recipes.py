import pytest

from greennas_jax.accuracy import recipes, training
from greennas_jax.spec import paleo_json
from tests.accuracy import transformers


def test_recipes_left_open_follow_the_network(specs):
    reader = transformers.bert()
    lenet = paleo_json.load(specs / "lenet5.json")
    own = recipes.Recipe(epochs=3, learning_rate=0.1)
    assert recipes.settled(own, reader, 2) == own
    for network, epochs, rate in ((reader, 24, 2e-3), (lenet, 8, 1e-2)):
        found = recipes.settled(recipes.Recipe(), network)
        assert (found.epochs, found.learning_rate) == (epochs, rate)
        assert recipes.settled(recipes.Recipe(), network, 2).epochs == 2 * epochs
    with pytest.raises(ValueError, match="epochs is left open; `settled`"):
        training.check_steps(recipes.Recipe(), 100)
    with pytest.raises(ValueError, match="learning_rate is left open"):
        training.optimizer(recipes.Recipe(epochs=1), 100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": float("nan")},
        {"warmup": 1.0},
        {"beta2": 1.0},
        {"checks": (0.5,)},
        {"checks": (0.5, 0.25, 0.75)},
        {"checks": (0, 0.5, 1)},
    ],
    ids=str,
)
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        recipes.Recipe(**wrong)
