"""What a check of the estimator measures, what it allows, and how both are shown."""

from typing import NamedTuple

import numpy as np

#: A normal number is further than 5 from its mean with probability 5.7e-7.
Z_BOUND = 5.0
#: A p-value of a right sampler is below this with probability 1e-6.
P_BOUND = 1e-6


class Check(NamedTuple):
    """A line of the table: it holds, or the script ends with status 1."""

    section: str
    what: str
    measured: float
    relation: str  #: "<=" or ">="
    bound: float

    @property
    def holds(self) -> bool:
        """False for NaN, whatever the relation."""
        if self.relation == "<=":
            return bool(self.measured <= self.bound)
        return bool(self.measured >= self.bound)


def largest_z(samples_MJ: np.ndarray, expected_J: np.ndarray) -> float:
    """The largest |z| of J means of M independent draws, z in standard errors."""
    samples_MJ = np.asarray(samples_MJ, np.float64)
    error_J = samples_MJ.std(axis=0, ddof=1) / np.sqrt(len(samples_MJ))
    # A number that no draw changes has to be the expected one, to rounding.
    error_J = np.maximum(error_J, rounding(np.abs(expected_J), len(samples_MJ)))
    return float(np.max(np.abs(samples_MJ.mean(axis=0) - expected_J) / error_J))


def rounding(terms: float | np.ndarray, additions: int) -> float | np.ndarray:
    """What float64 may lose: ε × additions × the sum of the terms' absolute values.

    Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, equation
    (4.4), without its factor 1/2 and its higher orders in ε.
    """
    return float(np.finfo(np.float64).eps) * additions * terms


def table(checks: list[Check]) -> str:
    """The checks by section, a line each, at most 80 columns wide."""
    lines = []
    for section in dict.fromkeys(check.section for check in checks):
        lines += ["", section]
        for c in (check for check in checks if check.section == section):
            verdict = "ok" if c.holds else "FAILS"
            numbers = f"{c.measured:>8.2g} {c.relation} {c.bound:<7.2g}"
            lines.append(f"  {c.what:<51} {numbers} {verdict}")
    return "\n".join(lines[1:])
