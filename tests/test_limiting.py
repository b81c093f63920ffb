import dataclasses

import numpy as np
import pytest

from greennas_jax import limiting, pipeline
from greennas_jax.costs import devices, profile
from greennas_jax.costs.settings import CostSettings
from greennas_jax.pipeline import PipelineConfig
from greennas_jax.search.feasibility import InfeasibleError
from greennas_jax.spec import paleo_json

DEVICE = devices.load("titan_x")


def prepared(specs, name="lenet5", mode="inference", **limits):
    config = PipelineConfig(settings=CostSettings(mode=mode), **limits)
    network = paleo_json.load(specs / f"{name}.json")
    return pipeline.prepare(network, DEVICE, config), config


@pytest.mark.parametrize("name, mode", [("lenet5", "inference"), ("lenet5", "training")])
def test_limits_are_those_of_profiles(specs, name, mode):
    given = prepared(specs, name, mode)[0].space.given
    settings = CostSettings(mode=mode)
    before = profile.profile(given, DEVICE, settings)["totals"]
    keys = {name: total for name, (_, _, total) in limiting.NAMES.items()}
    most = {name: 0.7 * before[total] for name, total in keys.items()}
    most["max_parameters"] = int(most["max_parameters"])
    found, _ = prepared(specs, name, mode, **most)
    strings = found.space.sample(np.random.default_rng(0), 8)
    for row, within in zip(strings, found.limits.within(strings), strict=True):
        totals = profile.profile(found.space.decode(row), DEVICE, settings)["totals"]
        assert within == all(totals[keys[name]] <= limit for name, limit in most.items())
    anchor = profile.profile(found.space.decode(found.limits.anchor), DEVICE, settings)["totals"]
    assert all(anchor[keys[name]] <= limit for name, limit in most.items())


def test_no_limit_is_none(specs):
    assert prepared(specs)[0].limits is None


def test_a_limit_as_low_as_the_least_is_kept_and_one_below_is_refused(specs):
    found, _ = prepared(specs, target_memory=1e7)
    least = found.limits.peaks.least()[0]
    assert prepared(specs, target_memory=least)[0].limits is not None
    with pytest.raises(InfeasibleError, match=rf"needs less than {least:.0f} bytes"):
        prepared(specs, target_memory=least - 1)


@pytest.mark.parametrize("name", limiting.NAMES)
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_odd_limits_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*; allowed: a finite number above 0"):
        dataclasses.replace(PipelineConfig(), **{name: value})
