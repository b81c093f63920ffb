import dataclasses

import pytest

from greennas_jax.costs import devices, links, scaling
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json


@pytest.fixture(scope="session")
def scaling_job(specs):
    return scaling.Job(
        network=paleo_json.load(specs / "lenet5.json"),
        device=devices.load("k80"),
        fabric=Fabric(link=links.load("infiniband"), workers_per_node=4),
        costs=CostSettings(),
        settings=scaling.ScalingSettings(host_w=400.0, examples=60000),
        batch=4096,
    )


@pytest.fixture(scope="session")
def scaling_study(scaling_job):
    return scaling.study(scaling_job, [8, 1, 2, 4])


@pytest.fixture(scope="session")
def study_without_power(scaling_job):
    device = scaling_job.device.replace(power_known=False)
    settings = scaling.ScalingSettings()
    return scaling.study(dataclasses.replace(scaling_job, device=device, settings=settings), [1, 2])
