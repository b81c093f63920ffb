import jax
import jax.numpy as jnp
import pytest

from greennas_jax.accuracy import children, datasets, execution, training
from greennas_jax.spec import paleo_json
from tests.accuracy import test_children

SIDE_BY_SIDE = execution.Execution(together="vmap", method="lax", per_device=32)


@pytest.mark.parametrize(
    ("free", "count"),
    # 100 bytes shared and 10 a child, 85 % of the free memory to fill.
    [(10_000, 32), (500, 32), (300, 15), (130, 1), (1, 1)],
)
def test_as_many_children_side_by_side_as_memory_holds(free, count):
    found = execution.affordable(SIDE_BY_SIDE, lambda n: 100 + 10 * n, free)
    assert found.per_device <= count
    assert found.per_device == 1 or 100 + 10 * found.per_device <= 0.85 * free
    assert found.per_device >= count // 2


def test_one_after_the_other_and_unknown_memory_change_nothing():
    one_by_one = execution.Execution()
    assert execution.affordable(one_by_one, lambda n: 10**9, 1) is one_by_one
    assert execution.free_bytes() is None
    assert execution.affordable(SIDE_BY_SIDE, lambda n: 10**9) is SIDE_BY_SIDE


def test_bytes_of_a_program_are_its_arrays():
    compiled = jax.jit(lambda x: x[:10] * 2).lower(jnp.zeros(1000)).compile()
    assert 4000 + 40 <= execution.bytes_of(compiled) < 5000


@pytest.mark.slow
def test_little_memory_changes_how_many_and_nothing_else(monkeypatch):
    given = paleo_json.read(test_children.json.dumps(test_children.TINY))
    data = datasets.load("digits", (8, 8, 1), 10)
    recipe = training.Recipe(epochs=1, batch_size=256, checks=(), margins=())
    run = execution.Execution(together="vmap", method="lax", per_device=4)
    roomy = children.make(given, data, recipe=recipe, run=run)
    assert roomy.run.per_device == 4
    monkeypatch.setattr(execution, "free_bytes", lambda: 1)
    tight = children.make(given, data, recipe=recipe, run=run)
    assert tight.run.per_device == 1
    found = [made.baseline([3, 4])[1].accuracy for made in (roomy, tight)]
    assert found[0] == pytest.approx(found[1], abs=0.01)
