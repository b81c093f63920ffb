"""The whole journey with its files: from a network and a device to a workdir of evidence.

Every long phase leaves something in `checkpoints/` (the taught embedding, each training, the final
test), so that the same request on the same workdir goes on where it stopped.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, TextIO

import jax
import numpy as np

from greennas_jax import checkpoints, configuration, pipeline
from greennas_jax.accuracy import final_test, oracle
from greennas_jax.costs import profile as cost_profile
from greennas_jax.costs.devices import Device
from greennas_jax.nao import embedding as embeddings
from greennas_jax.nao.embedding import Embedding
from greennas_jax.pipeline import PipelineConfig, Prepared, Solution
from greennas_jax.report import comparison, evidence, files, plots, tables
from greennas_jax.search import archive as archives
from greennas_jax.search import loop
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem
from greennas_jax.spaces import exact
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network
