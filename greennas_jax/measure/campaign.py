"""A calibration from request to files: sweep, fits, checks on whole networks, the device file."""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from greennas_jax.costs import devices, neuralpower_fit, neuralpower_text
from greennas_jax.measure import (
    calibration,
    device_file,
    execution,
    machine,
    measurements,
    meters,
    networks,
    priority,
    session,
    sweep,
    timing,
)
from greennas_jax.measure.calibration import Peaks
from greennas_jax.measure.device_file import Ground
from greennas_jax.measure.machine import Machine
from greennas_jax.measure.measurements import Measurement
from greennas_jax.report import files
from greennas_jax.spec.network import Network

# With a meter each layer also takes a window of some seconds.
PLAN = timing.Plan(windows=7, window_s=0.02)
PEAK_PLAN = timing.Plan(windows=7, window_s=0.2)
# Where nobody tells a clock: the least time of a step is then a nanosecond.
ASSUMED_CLOCK = (1000.0, "assumed: no clock is told; steps of a nanosecond at least")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a calibration is asked.

    Attributes:
      out: The device file, NAME.json.
      extent: Name of the sweep.
      minutes: No layer is begun after so many minutes.
      rounds: Times that each layer is measured.
      statistic: Which of a layer's samples is its time, a key of `timing.STATISTICS`.
      dtypes: Number formats, the device's default first.
      assumed_watts: Power to assume where none is measured [W].
      from_csv: Measurements to fit instead of measuring.
      peak_gflops: Peak rate [GFLOP/s]; None to measure it.
      bandwidth_gbs: Bandwidth [GB/s]; None to measure it.
      base: A device whose clock, peaks and bandwidth are taken.
      raised: Whether the clock runs at a raised priority.
      seed: Of the shapes and the folds.
    """

    out: str
    extent: str = "default"
    minutes: float = 9.0
    rounds: int = 1
    statistic: str = "median"
    dtypes: tuple[str, ...] = ("fp32",)
    assumed_watts: float | None = None
    from_csv: str | None = None
    peak_gflops: float | None = None
    bandwidth_gbs: float | None = None
    base: str | None = None
    raised: bool = False
    seed: int = 0

    def __post_init__(self):
        if not self.out.endswith(".json") or self.out.endswith(".neuralpower.json"):
            raise ValueError(f"--out is {self.out!r}; a name that ends in .json needed")
        if not self.dtypes or len(set(self.dtypes)) < len(self.dtypes):
            raise ValueError(f"--dtype is {','.join(self.dtypes)!r}; different formats needed")
        for name in ("assumed_watts", "peak_gflops", "bandwidth_gbs"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"--{name} is {value:g}; a finite number above 0 needed")
        given = self.base is not None or (self.peak_gflops and self.bandwidth_gbs)
        if self.from_csv is not None and not given:
            raise ValueError(
                "--from_csv needs what the shares are of: --base, or --peak_gflops and "
                "--bandwidth_gbs"
            )

    @property
    def beside(self) -> pathlib.Path:
        """Return the path of the files beside the device file, without an ending."""
        return pathlib.Path(self.out).with_suffix("")


def calibrate(request: Request, checks: Sequence[Network] = ()) -> list[str]:
    """Measure, fit, check and write; return what to tell.

    Args:
      request: What is asked.
      checks: Networks that are run whole and set against the prediction.

    Raises:
      ValueError: If the request or its files cannot be used.
      OSError: If a file cannot be read or written.
    """
    folder = pathlib.Path(request.out).parent
    if not folder.is_dir():
        raise ValueError(f"--out: {folder} is no folder")
    if request.from_csv is not None:
        found = measurements.load(request.from_csv)
        return _fitted(request, list(found.rows), [*found.bad], None, [])
    for dtype in request.dtypes:
        execution.check_dtype(dtype)
    this = machine.here()
    around = priority.raised if request.raised else contextlib.nullcontext
    with around():
        pass
    meter = meters.find(this.platform)
    on = session.bench(meter, PLAN._replace(statistic=request.statistic), "lax", around)
    done = _measured(request, this, on)
    csv = request.beside.with_suffix(".csv")
    files.write_text(csv, measurements.write(calibration.best(done.rows)))
    told = [f"not measured: {line}" for line in done.left_out]
    told += [done.unmetered] if done.unmetered else []
    lines = _fitted(request, done.rows, told, (this, on), checks)
    _journal(request).unlink(missing_ok=True)
    return lines


def _journal(request: Request) -> pathlib.Path:
    return request.beside.with_suffix(".csv.partial")


def _measured(request: Request, this: Machine, on: session.Bench) -> session.Done:
    """Return the sweep's measurements, some of them perhaps from an earlier start."""
    extent = sweep.EXTENTS[request.extent]
    wanted = sweep.draw(extent, dtypes=request.dtypes, seed=request.seed)
    started = time.monotonic()
    identity = {
        "sweep": request.extent,
        "dtypes": list(request.dtypes),
        "rounds": request.rounds,
        "statistic": request.statistic,
        "seed": request.seed,
        "raised": request.raised,
        "machine": list(this),
        "meter": on.meter.source,
    }
    return session.run(
        wanted,
        request.rounds,
        on,
        _journal(request),
        identity,
        enough=lambda: time.monotonic() - started > 60 * request.minutes,
        watch=_watched,
        say=lambda line: print(line, file=sys.stderr),
    )


def _watched(entries: Iterable[Any], total: int) -> Iterable[Any]:
    """Return what is still to do with a bar on a terminal."""
    import tqdm

    return tqdm.tqdm(entries, total=total, unit="layer", disable=not sys.stderr.isatty())


def _ground(request: Request, on: session.Bench | None, this: Machine | None) -> Ground:
    """Return clock, peaks and bandwidth: stated, a base device's, or measured here."""
    stated = "stated: "
    base = None if request.base is None else devices.load(request.base)
    rates = {}
    for dtype in request.dtypes:
        if request.peak_gflops is not None and dtype == request.dtypes[0]:
            rates[dtype] = request.peak_gflops, f"{stated}--peak_gflops"
        elif base is not None:
            of_base = base.at(dtype)
            rates[dtype] = of_base.peak_gflops, dict(of_base.sources)["peak_gflops"]
        elif on is not None:
            with on.around():
                rates[dtype] = machine.rate(dtype, PEAK_PLAN)
        else:
            raise ValueError(f"the peak rate in {dtype} is not known; --base may state it")
    if request.bandwidth_gbs is not None:
        width = request.bandwidth_gbs, f"{stated}--bandwidth_gbs"
    elif base is not None:
        width = base.bandwidth_gbs, dict(base.sources)["bandwidth_gbs"]
    else:
        with (on.around if on else contextlib.nullcontext)():
            width = machine.bandwidth(PEAK_PLAN)
    clock = ASSUMED_CLOCK
    if base is not None:
        clock = base.clock_mhz, dict(base.sources)["clock_mhz"]
    elif this is not None and this.clock_mhz is not None:
        clock = this.clock_mhz, "measured: as the system tells it"
    return Ground(clock, rates, width)


def _fitted(
    request: Request,
    rows: Sequence[Measurement],
    told: list[str],
    here: tuple[Machine, session.Bench] | None,
    checks: Sequence[Network],
) -> list[str]:
    """Fit a device to measurements, write it, and return what to tell."""
    this, on = here or (None, None)
    formats = {row.case.dtype for row in rows}
    request = dataclasses.replace(
        request, dtypes=tuple(dtype for dtype in request.dtypes if dtype in formats)
    )
    kept = [row for row in calibration.best(rows) if row.case.dtype in request.dtypes]
    if not kept:
        raise ValueError(f"no layer is measured in {', '.join(sorted(request.dtypes)) or 'these'}")
    if not calibration.enough(kept):
        raise ValueError(
            f"no kind of layer has the {calibration.LEAST_ROWS} measured layers that a fit needs, "
            f"{len(kept)} in all; more --minutes or more rows are needed"
        )
    ground = _ground(request, on, this)
    peaks = {name: Peaks(rate, ground.gbs[0]) for name, (rate, _) in ground.gflops.items()}
    fits = calibration.times(kept, peaks, seed=request.seed)
    watts = calibration.power(kept, seed=request.seed)
    of = f", {request.statistic} of {PLAN.windows} windows, {request.rounds} rounds"
    source = f"measured: {request.beside.name}.csv{of}" if on else f"fitted: {request.from_csv}"

    def write(errors: dict[str, Any]) -> None:
        record = device_file.record(this, watts, errors)
        value = device_file.compose(
            request.beside.name, ground, fits, watts, request.assumed_watts, record, source
        )
        files.write_json(request.out, value)

    errors: dict[str, Any] = {"runtime_rmspe_percent": _errors(fits)}
    write(errors)
    lines = [*told, *(_line(fit) for fit in fits), _layer_models(request, kept, this)]
    if isinstance(watts, str):
        lines.append(f"power: not known ({watts})")
    if on is not None and checks:
        checked = [_check(network, request, on) for network in checks]
        errors["networks"] = checked
        errors["networks_rmspe_percent"] = _rmspe(checked)
        write(errors)
        lines += [_told(each) for each in checked]
        lines.append(f"networks: RMSPE {errors['networks_rmspe_percent']:.0f} %")
    return [*lines, f"written: {request.out}"]


def _layer_models(request: Request, rows: Sequence[Measurement], this: Machine | None) -> str:
    """Fit layer models to the default format's layers, write them, and return what to tell."""
    modes = {row.case.mode for row in rows}
    mode = "inference" if "inference" in modes else "training"
    dtype = request.dtypes[0]
    own = [row for row in rows if (row.case.mode, row.case.dtype) == (mode, dtype)]
    path = request.beside.with_suffix(".neuralpower.json")
    watts = np.array([math.nan if row.power_w is None else row.power_w for row in own])
    try:
        model = neuralpower_fit.fit(
            measurements.table(own),
            np.array([row.runtime_ms for row in own]),
            None if np.isnan(watts).all() else watts,
            seed=request.seed,
            mode=mode,
            dtype=dtype,
            device=request.beside.name,
            driver="" if this is None else this.driver,
            date=datetime.date.today().isoformat(),
            version=importlib.metadata.version("greennas-jax"),
        )
    except neuralpower_fit.FitError as error:
        return f"layer models: none ({error})"
    files.write_text(path, neuralpower_text.write(model))
    return f"layer models: {path}"


def _errors(fits: Sequence[calibration.Shares]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for fit in fits:
        found.setdefault(fit.kind, {})[fit.dtype] = calibration.errors_of(fit)
    return found


def _line(fit: calibration.Shares) -> str:
    crossed = f"{fit.crossed:.0f} %"
    return (
        f"{fit.kind} ({fit.dtype}, {fit.mode}): {fit.rows} layers, cross-validated RMSPE {crossed}"
    )


def _check(network: Network, request: Request, on: session.Bench) -> dict[str, Any]:
    """Return a whole network's measured and predicted time; of several rounds the least time."""
    wanted = execution.Wanted("inference", request.dtypes[0], on.method)
    device = devices.load(os.path.abspath(request.out))
    rounds = [
        networks.report(network, device, 1, wanted, on.meter, on.plan, on.around)
        for _ in range(request.rounds)
    ]
    found = min(rounds, key=lambda each: each["measured"]["time_ms"])
    return {
        "network": network.name,
        "batch_size": 1,
        "measured_ms": found["measured"]["time_ms"],
        "predicted_ms": found["predicted"]["time_ms"],
        "ratio": found["ratio"]["time_ms"],
    }


def _rmspe(checked: Sequence[dict[str, Any]]) -> float:
    return 100 * math.sqrt(sum((each["ratio"] - 1) ** 2 for each in checked) / len(checked))


def _told(each: dict[str, Any]) -> str:
    return (
        f"{each['network']}, batch {each['batch_size']}: measured {each['measured_ms']:.4g} ms, "
        f"predicted {each['predicted_ms']:.4g} ms, ratio {each['ratio']:.2f}"
    )
