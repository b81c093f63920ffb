"""Records of fitted layer models: formulas, their valid range and their errors.

Shapes: none; everything is text and numbers in tuples, hence hashable and static under `jit`.
"""

import dataclasses
from typing import NamedTuple

FORMS = ("constant", "counted", "polynomial", "relative", "logarithmic")
QUANTITIES = ("runtime", "power", "energy")
# What a layer may do behind its own work, by the columns of a LayerTable.
FUSED = ("bias", "activation", "normalizer")


class Term(NamedTuple):
    """A coefficient times a product of features, one name for each power."""

    coefficient: float
    factors: tuple[str, ...]


class Range(NamedTuple):
    """The smallest and the largest value of a feature among the measured layers."""

    feature: str
    lower: float
    upper: float


class Error(NamedTuple):
    """Cross-validated RMSPE of one form [%]; `form` may also be "used" or "paleo"."""

    quantity: str
    form: str
    rmspe: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Formula:
    """A quantity as base x polynomial, kept between the smallest and largest measured ratio.

    Features are divided by their largest measured value; `log2 NAME` is the logarithm of a feature
    over the geometric mean of its smallest and largest value.

    Attributes:
      form: "constant", "counted" (the base alone, counted from the work), "polynomial" (base 1),
        "relative" (base and polynomial) or "logarithmic" (the polynomial is the exponent of two).
      constant: The polynomial's constant.
      terms: Its other terms.
      counted: Terms of the base, none negative; without any the base is 1.
      lowest: Least value of the polynomial, or of its power of two.
      highest: Largest value of it.
    """

    form: str
    constant: float
    terms: tuple[Term, ...]
    counted: tuple[Term, ...]
    lowest: float
    highest: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class KindFit:
    """What was fitted for one kind of layers.

    Attributes:
      kind: One of `kinds.KINDS`.
      operations: Names of the operations that were measured, sorted.
      fused: Which of `FUSED` the measured layers did in the same call.
      samples: Number of measured layers.
      ranges: Valid range of every feature.
      runtime: Runtime [ms].
      power: Power while the layer runs [W]; None where it was not measured.
      errors: Cross-validated errors.
    """

    kind: str
    operations: tuple[str, ...]
    fused: tuple[str, ...]
    samples: int
    ranges: tuple[Range, ...]
    runtime: Formula
    power: Formula | None
    errors: tuple[Error, ...]

    def error(self, quantity: str, form: str = "used") -> float | None:
        """Return an error [%], None where it is not known."""
        for entry in self.errors:
            if (entry.quantity, entry.form) == (quantity, form):
                return entry.rmspe
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """Layer models of one device, measured in one mode and one number format.

    Attributes:
      device: What was measured.
      driver: Versions of what ran the layers.
      date: Day of the measurement.
      mode: Mode that the layers were measured in.
      dtype: Number format that they were measured in.
      version: Version of this software that fitted them.
      seed: Seed of the folds.
      fits: One entry per kind.
    """

    device: str
    driver: str
    date: str
    mode: str
    dtype: str
    version: str
    seed: int
    fits: tuple[KindFit, ...]

    def __str__(self) -> str:
        return f"neuralpower of {self.device}, {self.mode}, {self.dtype}, {self.date}"
