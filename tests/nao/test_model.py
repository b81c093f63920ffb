import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from greennas_jax.nao import encoder, training
from greennas_jax.nao import model as models
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import Pool, TrainingConfig
from tests.nao import synthetic

SMALL = ModelConfig(width=32, hidden=32)


def small_model(kind="lstm", seed=0):
    return models.create(
        synthetic.rules(), ModelConfig(encoder=kind, width=32, hidden=32), jax.random.key(seed)
    )


def some_tokens(count=5):
    return jnp.asarray(synthetic.sample(np.random.default_rng(3), count))


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "lstm" else pytest.param(kind, marks=pytest.mark.slow)
        for kind in sorted(encoder.ENCODERS)
    ],
)
def test_embedding_is_unit_vectors_one_per_step(kind):
    embedding = models.embed(small_model(kind), some_tokens())
    chex.assert_shape(embedding, (5, synthetic.STEPS, 32))
    np.testing.assert_allclose(jnp.linalg.norm(embedding, axis=-1), 1.0, atol=1e-5)


def test_expected_token_embeds_between_its_tokens():
    """The token table is linear, so half of each token embeds like the mean of their vectors."""
    model = small_model()
    first, second = some_tokens(2)
    halves = 0.5 * (models.one_hot(first[None], 4) + models.one_hot(second[None], 4))
    table = model.encoder.tokens
    mean = 0.5 * (table(models.one_hot(first[None], 4)) + table(models.one_hot(second[None], 4)))
    np.testing.assert_allclose(table(halves), mean, atol=1e-6)


def test_table_sums_the_positions_of_a_step():
    model = small_model()
    tokens = some_tokens(1)
    vectors = np.asarray(model.encoder.tokens.vectors[...])
    by_hand = np.stack(
        [
            sum(vectors[p, int(tokens[0, p])] for p in range(3 * step, 3 * step + 3))
            for step in range(synthetic.STEPS)
        ]
    )
    found = model.encoder.tokens(models.one_hot(tokens, 4))[0]
    np.testing.assert_allclose(found, by_hand, atol=1e-6)


def test_generated_probabilities_are_distributions_over_valid_tokens():
    embedding = models.embed(small_model(), some_tokens())
    found = np.asarray(small_model().decoder.generate(embedding, 1.0))
    chex.assert_shape(found, (5, synthetic.TOKENS, 4))
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-5)
    assert np.all(found[:, ~synthetic.rules().valid] == 0)


def test_forced_and_greedy_decoding_agree_on_their_own_tokens():
    """Forced with the greedy tokens, the most probable tokens are the greedy ones."""
    model = small_model()
    embedding = models.embed(model, some_tokens())
    greedy = models.decode_greedily(model, embedding)
    logits = model.decoder.forced(embedding, models.one_hot(greedy, 4))
    np.testing.assert_array_equal(jnp.argmax(logits, -1), greedy)


def test_module_is_a_plain_pytree_under_jit_and_grad():
    model, tokens = small_model(), some_tokens()
    calls = []

    def total(model, tokens):
        calls.append(1)
        return models.embed(model, tokens)[..., 0].sum()

    compiled = jax.jit(jax.grad(total))
    compiled(model, tokens)
    compiled(small_model(seed=1), tokens)
    assert len(calls) == 1, "a second model of the same shape must not compile again"


def test_works_without_graph_mode():
    with nnx.set_graph_mode(False):
        embedding = models.embed(small_model(), some_tokens())
    assert np.isfinite(embedding).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(encoder.ENCODERS))
def test_pretraining_reproduces_strings_and_ranks_costs(kind):
    rng = np.random.default_rng(0)
    tokens = synthetic.sample(rng, 4096 + 512)
    values, _ = training.standardise(synthetic.values(tokens))
    pool = Pool(jnp.asarray(tokens[512:]), jnp.asarray(values[512:]))
    held = Pool(jnp.asarray(tokens[:512]), jnp.asarray(values[:512]))
    config = TrainingConfig(steps=400, batch=64)
    untrained = small_model(kind)
    before = training.held_out(untrained, held, 1)
    model = training.pretrain(untrained, pool, pool.tokens[:256], jax.random.key(1), config)
    after = training.held_out(model, held, 1)
    assert before["exact_match"] < 0.05
    assert after["exact_match"] >= 0.99
    assert after["cost_spearman"] >= 0.98


@pytest.mark.slow
def test_training_is_the_same_for_the_same_key():
    tokens = synthetic.sample(np.random.default_rng(0), 64)
    pool = Pool(jnp.asarray(tokens), jnp.zeros((64, synthetic.RULES_OUTPUTS)))
    config = TrainingConfig(steps=20, batch=8, runs=2)
    first, second = (
        training.pretrain(small_model(), pool, pool.tokens, jax.random.key(1), config)
        for _ in range(2)
    )
    chex.assert_trees_all_equal(jax.tree.leaves(first), jax.tree.leaves(second))


def test_pools_of_most_sizes_share_a_program_and_rows_behind_are_never_drawn():
    tokens = synthetic.sample(np.random.default_rng(0), 64)
    targets = np.random.default_rng(1).normal(size=(64, synthetic.RULES_OUTPUTS))
    config = TrainingConfig(steps=4, batch=8, pool=64)
    found = []
    before = training.train_steps._cache_size()
    for count in (40, 64):
        pool = training.roomy(
            Pool(jnp.asarray(tokens[:count]), jnp.asarray(targets[:count], jnp.float32))
        )
        assert pool.tokens.shape[0] == 64 and int(pool.count) == count
        spoiled = pool._replace(targets=pool.targets.at[count:].set(jnp.nan))
        for one in (pool, spoiled):
            model = small_model()
            state = training.optimiser(config).init(model)
            model, _, losses = training.train_steps(
                model, state, one, jax.random.key(2), jnp.asarray(0), config=config, steps=4
            )
            found.append((jax.tree.leaves(model), losses))
    assert training.train_steps._cache_size() == before + 1
    chex.assert_trees_all_equal(found[0], found[1])
    chex.assert_tree_all_finite(found)


def test_a_pool_trains_alike_with_and_without_rows_behind_it():
    tokens = synthetic.sample(np.random.default_rng(0), 40)
    pool = Pool(jnp.asarray(tokens), jnp.ones((40, synthetic.RULES_OUTPUTS)))
    config = TrainingConfig(steps=2, batch=8)
    found = []
    for one in (pool, training.roomy(pool)):
        model = small_model()
        state = training.optimiser(config).init(model)
        model, *_ = training.train_steps(
            model, state, one, jax.random.key(2), jnp.asarray(0), config=config, steps=2
        )
        found.append(jax.tree.leaves(model))
    chex.assert_trees_all_close(*found, rtol=1e-6)


@pytest.mark.parametrize(
    ("fidelity", "steps"), [pytest.param(0.0, 20, marks=pytest.mark.slow), (1.0, 60)]
)
def test_schedule_is_run_again_until_strings_are_reproduced(fidelity, steps):
    tokens = synthetic.sample(np.random.default_rng(0), 64)
    pool = Pool(jnp.asarray(tokens), jnp.zeros((64, synthetic.RULES_OUTPUTS)))
    config = TrainingConfig(steps=20, batch=8, fidelity=fidelity, runs=3)
    done = []
    training.pretrain(
        small_model(), pool, pool.tokens, jax.random.key(1), config, lambda *at: done.append(at[0])
    )
    assert done[-1] == steps


def test_loss_of_a_uniform_decoder_is_the_log_of_the_choices():
    """With zero logits each position costs the log of its number of valid choices."""
    model = small_model()
    model.decoder.weights[...] = jnp.zeros_like(model.decoder.weights[...])
    tokens = some_tokens()
    batch = Pool(tokens, jnp.zeros((5, synthetic.RULES_OUTPUTS)))
    config = TrainingConfig(prediction_weight=0.0)
    total, (_, negative) = training.loss(model, batch, jax.random.key(0), config=config)
    expected = np.mean(np.log(synthetic.SIZES))
    np.testing.assert_allclose([total, negative], expected, rtol=1e-5)


def test_standardise_leaves_constants_at_zero():
    values = np.array([[1.0, 5.0], [3.0, 5.0]])
    found, scale = training.standardise(values)
    np.testing.assert_allclose(found, [[-1, 0], [1, 0]])
    np.testing.assert_allclose(scale.mean, [2, 5])


def test_spearman_of_known_ranks():
    # Ranks 0 1 2 3 against 1 0 3 2: 1 - 6 * 4 / (4 * 15) = 0.6.
    first, second = np.array([1.0, 2, 3, 4]), np.array([20.0, 10, 40, 30])
    assert training.spearman(first, second) == pytest.approx(0.6)


@pytest.mark.parametrize("change", [{"encoder": "tree"}, {"width": 0}])
def test_bad_model_config_is_refused(change):
    with pytest.raises(ValueError, match="encoder is 'tree'|must be positive"):
        ModelConfig(**change)


def test_bad_training_config_is_refused():
    with pytest.raises(ValueError, match="prediction_weight is 1.5"):
        TrainingConfig(prediction_weight=1.5)
