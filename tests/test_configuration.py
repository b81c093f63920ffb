import dataclasses

import pytest

from greennas_jax import configuration, pipeline
from greennas_jax.costs.settings import CostSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    sizes: tuple[float, ...] = (1.0, 2.0)
    name: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    count: int = 3
    share: float = 0.5
    on: bool = False
    inner: Inner = Inner()


def test_values_replace_defaults_at_every_depth():
    found = configuration.build(Outer, {"count": 4, "share": 1, "inner": {"sizes": [3, 4]}})
    assert found == Outer(count=4, share=1.0, inner=Inner(sizes=(3.0, 4.0)))
    assert isinstance(found.share, float) and isinstance(found.inner.sizes[0], float)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"cuont": 4}, r"config\.cuont is not known; allowed: count, share, on, inner"),
        ({"count": 4.5}, r"config\.count is 4\.5; allowed: int"),
        ({"count": True}, r"config\.count is True; allowed: int"),
        ({"on": 1}, r"config\.on is 1; allowed: bool"),
        ({"inner": {"sizes": "ab"}}, r"config\.inner\.sizes is 'ab'; allowed: a tuple"),
        ({"inner": {"name": 3}}, r"config\.inner\.name is 3; allowed: str or null"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, told):
    with pytest.raises(ValueError, match=told):
        configuration.build(Outer, values)


def test_every_default_of_the_pipeline_survives_the_round_trip():
    config = pipeline.PipelineConfig()
    assert configuration.build(pipeline.PipelineConfig, configuration.plain(config)) == config


def test_a_number_that_is_not_finite_is_null():
    found = configuration.plain(Outer(share=float("inf"), inner=Inner(sizes=(float("nan"), 2.0))))
    assert found["share"] is None
    assert found["inner"]["sizes"] == [None, 2.0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"objective": "beauty"}, "energy, time, memory, parameters"),
        ({"max_accuracy_drop": 1.0}, "max_accuracy_drop is 1.0"),
        ({"settings": CostSettings(mode="decode")}, "mode is 'decode', which is for profiles"),
    ],
)
def test_pipeline_refuses_what_it_cannot_do(change, told):
    with pytest.raises(ValueError, match=told):
        pipeline.PipelineConfig(**change)


def test_runs_of_different_seeds_share_no_training_seed():
    first, second = (pipeline.PipelineConfig(seed=seed) for seed in (1, 2))
    numbers = range(0, 1_500_000, 7)
    seeds = [{pipeline.seed_of(config, n) for n in numbers} for config in (first, second)]
    assert not seeds[0] & seeds[1]
    assert all(0 <= seed < 2**31 for seed in seeds[0])
