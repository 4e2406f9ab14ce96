"""One measurement: the text made for a point, the memory it needs, its time."""

import time

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.sweeping.plan import Point
from sgns_jax import plan
from sgns_jax.sharding import one_to_a_replica
from sgns_jax.train import expected_kept, fit, make_trainer


def word_probabilities(number: int) -> np.ndarray:
    """(number,) p(rank) ∝ (rank + 2.7)^−1.1, the law of Zipf and Mandelbrot.

    Fitted to 100 MB of English Wikipedia: of V = 70,000 words subsampling at 1e-4
    keeps 0.557 here and 0.551 there.
    """
    weights = (np.arange(1, number + 1) + 2.7) ** -1.1
    return weights / weights.sum()


def draw_text(point: Point) -> tuple[np.ndarray, np.ndarray]:
    """The counts (V,) to expect of a text, and the text: (T,) ids, always the same.

    Words are drawn one by one. A real text repeats those of its topic, and finds more
    of their rows in the caches.
    """
    V, number, T, _ = point
    probs = word_probabilities(number)
    counts_V = np.pad(T * probs, (0, V - number))
    text_T = np.random.default_rng(0).choice(number, T, p=probs)
    return counts_V, text_T.astype(np.int32)


def state_bytes(point: Point) -> int:
    """Size of the tables and the optimiser's numbers."""
    return sum(plan.state_bytes(point.config, point.vocabulary))


def needed_bytes(point: Point) -> int:
    """Memory that training needs, rounded up to whole states.

    On each device the state that a round began with, one for each replica there, and
    one more to draw the first vectors and to merge replicas in.
    """
    replicas = point.config.replicas
    devices = one_to_a_replica(replicas, len(jax.devices())).devices
    return state_bytes(point) * (replicas + 2 * devices)


def measure(point: Point, mesh: Mesh | None = None) -> dict:
    """Trains on the text of a point, and times all but the first round.

    On the given mesh, or on the one that ``make_trainer`` takes by default.

    Kept words are those to expect; of a million the number drawn is a thousandth off.
    """
    config, T = point.config, point.tokens
    counts_V, text_T = draw_text(point)
    began = time.perf_counter()
    trainer = make_trainer(config, counts_V, T, mesh)
    start_seconds = time.perf_counter() - began

    rounds, pairs = fit(config, trainer, text_T), []
    warm_up, _, metrics = next(rounds)
    jax.block_until_ready(metrics)
    began = time.perf_counter()
    for done, state, metrics in rounds:  # noqa: B007
        pairs.append(metrics.pairs)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - began

    words = T * (1 - warm_up / done)
    sizes = {"table_bytes": 2 * point.vocabulary * config.dim * 4}
    sizes |= {"state_bytes": state_bytes(point), "needed_bytes": needed_bytes(point)}
    counts = {
        "raw_words": words,
        "kept_words": words * expected_kept(config, counts_V) / T,
        "pairs": sum(int(np.asarray(x, np.int64).sum()) for x in pairs),
    }
    rates = {f"{name}_per_second": n / seconds for name, n in counts.items()}
    rates["nanoseconds_per_kept_word"] = 1e9 * seconds / counts["kept_words"]
    times = {"train_seconds": seconds, "start_seconds": start_seconds}
    return counts | rates | times | sizes
