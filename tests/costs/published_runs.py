"""Training runs whose energy was published: Patterson et al., arXiv 2104.10350, 2021, table 4."""

import json
from typing import NamedTuple

from greennas_jax.costs import devices


class Published(NamedTuple):
    """A run: its devices, what they reached and what it took."""

    device: str
    dtype: str
    devices: int
    flops: float
    achieved_tflops: float
    peak_tflops: float
    days: float
    watts: float
    site: str
    megawatt_hours: float
    tonnes: float

    @property
    def utilisation(self):
        return self.achieved_tflops / self.peak_tflops


T5 = Published("tpu_v3", "bf16", 512, 4.05e22, 45.6, 123, 20, 310, "t5", 85.7, 46.7)
MEENA = Published("tpu_v3", "bf16", 1024, 1.12e23, 42.3, 123, 30, 289, "meena", 232, 96.4)
GPT3 = Published("v100", "fp16", 10000, 3.14e23, 24.6, 125, 14.8, 330, "gpt3", 1287, 552.1)
RUNS = {"t5": T5, "meena": MEENA, "gpt3": GPT3}
# GPT-3: 300e9 tokens in sequences of 2048 (Brown et al. 2020). T5-11B: 1e12 tokens of text (Raffel
# et al. 2020), 568 of which span corruption turns into 512 read and 114 written. With 2^20 steps of
# 2^11 sequences, as that paper also says, it would be 2.1e9 examples and 4.9e22 FLOP.
SPECS = {"gpt3": "gpt3_175b", "t5": "t5_11b"}
EXAMPLES = {"gpt3": 300e9 / 2048, "t5": 1e12 / 568}


def device_text(name, **figures):
    """Return a device file's text; figures in watts, GFLOP/s and GB/s."""
    figures = {"clock_mhz": 1000, "peak_gflops": 15700, "bandwidth_gbs": 900} | figures
    stated = {key: {"value": value, "source": "test"} for key, value in figures.items()}
    return json.dumps({"name": name, **stated})


# A GPU whose power is easily reckoned by hand, in a machine that the table knows.
PLAIN = device_text("v100", tdp_w=300, idle_w=40, static_w=195, pj_per_byte=438, pj_per_flop=0)


def device_of(run):
    return devices.load(run.device).at(run.dtype)
