"""The gradient's mean at four settings, and its variance along three curves."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tqdm import tqdm

from experiments.estimation.checks import Z_BOUND, Check, rounding
from experiments.estimation.exact import largest_error, sum_expected
from experiments.estimation.gradient import (
    J,
    Point,
    Study,
    independent_variance,
    mean_gradient,
    measure,
    shared_variance,
)
from experiments.estimation.sampling import noise_probabilities
from sgns_jax.types import Params

#: How noise is drawn, and what becomes of a noise word that equals the positive.
KINDS = tuple(itertools.product(("shared", "independent"), ("keep", "skip")))
#: What is varied: the values, how noise is drawn, and the power that the variance is
#: known to follow.
CURVES = {
    "negatives": ((1, 5, 20, 64), "independent", 1),
    "noise_exponent": ((-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25), "shared", None),
    "noise_words": ((1, 32, 128, 512), "shared", -1),
}
NAMES = {"negatives": "K", "noise_exponent": "exponent", "noise_words": "N"}

Curve = list[tuple[float, Point]]


def check_mean(study: Study, key: Array, draws: int) -> list[Check]:
    """Two expectations against each other, and four kinds of draws against them."""
    config, P = study.config, len(study.pairs_P2)
    section = (
        f"2. Unbiased, by Monte Carlo: {draws:,} draws, {P} pairs of a block of "
        f"{config.block_size}"
    )
    checks = []
    for rule in ("keep", "skip"):
        error, bound = _compare_expectations(study, rule)
        what = f"matrix form - sum of expected_gradient, {rule}: error"
        checks.append(Check(section, what, error, "<=", bound))
    for i, (mode, rule) in enumerate(tqdm(KINDS, desc="mean", leave=False)):
        setting = dataclasses.replace(config, negatives_mode=mode, collisions=rule)
        point = measure(study, setting, jax.random.fold_in(key, i), draws)
        what = f"{mode}, {rule}: largest |z| of {J + 1} projections"
        checks.append(Check(section, what, point.z_mean, "<=", Z_BOUND))
    return checks


def _compare_expectations(study, rule):
    """``mean_gradient`` against the library pair by pair: error, and rounding."""
    config = study.config
    P_V = noise_probabilities(study.counts, config.noise_exponent)
    matrix = mean_gradient(study, P_V, config.negatives, rule)
    with jax.enable_x64(True):
        params = Params(*(jnp.asarray(np.float64(table)) for table in study.params))
        pairs = study.pairs_P2, P_V, config.negatives, rule
        error = largest_error(sum_expected(params, *pairs), matrix)
    # σ(s) times a parameter, 1 + K times a pair; sums over pairs, words or dimensions.
    largest = max(float(np.max(np.abs(table))) for table in params)
    additions = len(study.pairs_P2) + sum(params.w_in.shape)
    terms = len(study.pairs_P2) * (1 + config.negatives) * largest
    return error, rounding(terms, additions)


def draw_curves(study: Study, key: Array, draws: int) -> dict[str, Curve]:
    """A point for each value of each curve, each from its own draws."""
    curves = {name: [] for name in CURVES}
    todo = [(name, value) for name in CURVES for value in CURVES[name][0]]
    for i, (name, value) in enumerate(tqdm(todo, desc="variance", leave=False)):
        setting = {name: value, "negatives_mode": CURVES[name][1]}
        config = dataclasses.replace(study.config, **setting)
        point = measure(study, config, jax.random.fold_in(key, i), draws)
        curves[name].append((value, point))
    return curves


def check_curves(curves: dict[str, Curve]) -> list[Check]:
    """Mean and variance at every point, and the two laws over all of them."""
    section = "3. Variance of the gradient, against its closed form"
    checks = []
    for name, curve in curves.items():
        values, mode, law = CURVES[name]
        where = f"{mode}, {NAMES[name]} {values[0]} to {values[-1]}"
        # NumPy's maximum, which keeps a NaN; Python's may lose it.
        z_variance = float(np.max([abs(point.z_variance) for _, point in curve]))
        z_mean = float(np.max([point.z_mean for _, point in curve]))
        for what, z in (("variance", z_variance), ("mean", z_mean)):
            checks.append(Check(section, f"{where}: {what}, |z|", z, "<=", Z_BOUND))
        if law is not None:
            slope, error = log_slope(curve)
            what = f"  slope {slope:.4f}, law {law}: |z|"
            checks.append(Check(section, what, abs(slope - law) / error, "<=", Z_BOUND))
    return checks


def log_slope(curve: Curve) -> tuple[float, float]:
    """The power that the drawn variances follow, and its standard error."""
    values, points = zip(*curve, strict=True)
    variance, error = (
        np.array([getattr(p, name) for p in points])
        for name in ("variance", "standard_error")
    )
    fit, covariance = np.polyfit(
        np.log(values), np.log(variance), 1, w=variance / error, cov="unscaled"
    )
    return float(fit[0]), float(np.sqrt(covariance[0, 0]))


def equal_noise_words(study: Study) -> float:
    """The N at which shared noise has the variance of K independent words a pair."""
    P_V = noise_probabilities(study.counts, study.config.noise_exponent)
    rule, K = study.config.collisions, study.config.negatives
    shared = K**2 * shared_variance(study, P_V, rule)
    return shared / (K * independent_variance(study, P_V, rule))


def findings(study: Study, curves: dict[str, Curve]) -> list[str]:
    """What no law foretells."""
    K, N, P = study.config.negatives, study.config.noise_words, len(study.pairs_P2)
    share = {a: p.exact_variance / p.square_mean for a, p in curves["noise_exponent"]}
    least, most = (f(share, key=share.get) for f in (min, max))
    return [
        f"K = {K}: {equal_noise_words(study):.0f} noise words shared by the block have "
        f"the variance of {K * P:,}, {K} for each of its {P} pairs.",
        f"N = {N}: variance / |mean gradient|^2 is {share[most]:.2f} at exponent "
        f"{most:g}, the most, and {share[least]:.2f} at {least:g}, the least.",
    ]
