"""Question: which scores does training reach when nothing stands in its way?

    python -m experiments.factorization
    python -m experiments.factorization --noise_exponents=-1,0.5 --negatives=2
    python -m experiments.factorization --corpus=poem.txt --window=3

Trains on the exact expected loss of a small text, all pairs at once, with D >=
V, so that every table of scores s = u_c·v_w is a product of vectors. n(w,c)
counts how often c is a context of w, n(w) = Σ_c n(w,c), p(c|w) = n(w,c) / n(w).
Over the whole text the score of a cell (w,c) stands in n(w,c) positive terms
and on average in m noise terms:

    L = Σ_wc [ −n·log σ(s) − m·log σ(−s) ]
    keep:  m = K·P_n(c)·n(w)               each pair of w draws K noise words
    skip:  m = K·P_n(c)·(n(w) − n(w,c))    those whose positive is c leave c out

A cell is convex in s, and its slope −n·σ(−s) + m·σ(s) is 0 at s* = log(n/m):

    keep:  s* = log[p(c|w) / (K·P_n(c))]
    skip:  s* = log[p(c|w) / (K·P_n(c)·(1 − p(c|w)))]

With keep, and P_n the frequency of c as a context, s* is PMI(w,c) − log K (Levy
& Goldberg 2014, section 3.1); P_n ~ count^α smooths it. For a pair never seen
s* is −∞: its score falls for ever, ever more slowly. Under skip p(c|w) = 1
gives +∞.

Writes factorization.json and factorization.png. Exit status 0 only if for every
rule, α and K

- all observed pairs with a finite s* have |s − s*| <= 1e-4: their counts, read
  back as m·exp(s), are right to 1 in 10,000;
- all unseen pairs have m·exp(s) <= 1e-4, as if seen less than 1/10,000 times,
  and the largest of their scores fell again in the last half of the iterations;

and if s* is PMI − log K to rounding where it should be.
"""

import time
from functools import partial
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl.flags import FlagValues
from jax import Array

from experiments import cli, factorization_plots
from experiments import factorization_training as training
from experiments.provenance import provenance
from experiments.workdir import Workdir
from sgns_jax.config import Config
from sgns_jax.corpus import load_corpus
from sgns_jax.types import InputError
from sgns_jax.window import (
    Blocks,
    cut_blocks,
    half_windows,
    lay_windows,
    subsample,
)

TEXT = """\
the cat sat on the mat
the dog sat on the cat
the cat and the dog eat fish
the dog eats an apple and the cat eats a fish
a cat can run and a dog can run
the cat sees a banana on the mat
the dog and the cat run on the mat
a dog sees the apple and the banana
"""
BOUND = 1e-4
PICTURE = "factorization.png"
LARGEST_VOCABULARY = 25  # gradients of all pairs at once: V⁴ numbers a setting
SCRIPT = cli.Script(__doc__)
SCRIPT.define(
    "Text", Path, "corpus", "",
    "A small text, a sentence a line, to use instead of the built-in one; its "
    f"{LARGEST_VOCABULARY} most frequent words are kept.",
    "a path; empty: built-in",
)  # fmt: skip
SCRIPT.define("Text", int, "window", 2, "W, every centre's half-window.", ">= 1")
SCRIPT.define(
    "Model", str, "noise_exponents", "0,0.75,1",
    "Exponents α of the noise, P_n(w) ~ count(w)^α.", "numbers, commas between",
)  # fmt: skip
SCRIPT.define(
    "Model", str, "negatives", "1,5,15",
    "Numbers K of noise words per pair; each is tried with each exponent.",
    "whole numbers >= 1, commas between",
)  # fmt: skip
SCRIPT.define("Model", int, "dim", 0, "D, the dimension of a vector.", ">= V; 0: V")
SCRIPT.define("Run", int, "iterations", 1000, "Steps of L-BFGS on all pairs.", ">= 2")
SCRIPT.define("Run", int, "seed", 0, "Seed of the starting vectors.", ">= 0")
SCRIPT.define_workdir("runs/factorization")


def main(flags: FlagValues) -> int:
    started = time.perf_counter()
    configs = {rule: settings(flags, rule) for rule in ("keep", "skip")}
    workdir, runs = Workdir(flags.workdir), []
    with jax.enable_x64(True):
        counts_V, n_VV = read(flags, workdir)
        dim = dimension(flags.dim, len(counts_V))
        for rule in configs:
            runs += training.train(configs[rule], counts_V, n_VV, dim, flags.iterations)
        pmi = training.pmi_check(counts_V, n_VV)
    result = {name: flags[name].value for name in ("corpus", "window", "iterations")}
    result |= {"seed": flags.seed, "dim": dim, "words": len(n_VV), "bound": BOUND}
    result |= {"pairs": int(n_VV.sum()), "distinct_pairs": int((n_VV > 0).sum())}
    result |= {"pmi": pmi, "rows": [row(run) for run in runs]}
    result["seconds"] = time.perf_counter() - started
    workdir.write_json("factorization.json", provenance("factorization") | result)
    factorization_plots.picture(runs, BOUND, workdir.path(PICTURE))
    print(f"{factorization_plots.summary(result)}\n\nPicture: {workdir.path(PICTURE)}")
    return 0 if all(check["passed"] for check in (pmi, *result["rows"])) else 1


def settings(flags: FlagValues, rule: str) -> list[Config]:
    """Every α with every K."""
    if flags.iterations < 2:
        raise InputError(f"iterations must be >= 2, got {flags.iterations}")
    try:
        exponents = [float(number) for number in flags.noise_exponents.split(",")]
        negatives = [int(number) for number in flags.negatives.split(",")]
    except ValueError as error:
        raise InputError(
            f"noise_exponents and negatives must be numbers, commas between: {error}"
        ) from None
    shared = {"collisions": rule, "window": flags.window, "seed": flags.seed}
    return [
        Config(noise_exponent=alpha, negatives=K, **shared)
        for alpha, K in product(exponents, negatives)
    ]


def dimension(dim: int, V: int) -> int:
    """D: what was asked for, 0 for V; refused if it cannot hold every score."""
    if dim and dim < V:
        raise InputError(
            f"dim must be at least the vocabulary size {V}, got {dim}: fewer "
            "dimensions cannot hold every score; give more, or 0 for V"
        )
    return dim or V


def read(flags: FlagValues, workdir: Workdir) -> tuple[np.ndarray, np.ndarray]:
    """The text's word counts (V,) and pair counts n(w,c) (V, V)."""
    source = flags.corpus or str(workdir.path("text.txt"))
    if not flags.corpus:
        workdir.path("text.txt").write_text(TEXT)
    size = {"min_count": 1, "max_vocabulary": LARGEST_VOCABULARY}
    corpus = load_corpus(source, workdir.path("corpus"), **size)
    counts_V = corpus.vocabulary.counts
    n_VV = pair_counts(np.asarray(corpus.tokens), len(counts_V), flags.window)
    if not n_VV.any():
        raise InputError(f"{source} has no line of two words; give sentences as lines")
    return counts_V, n_VV


def pair_counts(tokens_T: np.ndarray, V: int, window: int) -> np.ndarray:
    """n(w,c), (V, V): every token is kept and is the centre of a block of its own."""
    blocks = _blocks_of_one(tokens_T, V, window)
    words_TE, mask_TE = np.asarray(blocks.tokens_BE), np.asarray(blocks.mask_BCE)[:, 0]
    n_VV = np.zeros((V, V))
    np.add.at(n_VV, (words_TE[:, window : window + 1], words_TE), mask_TE)
    return n_VV


@partial(jax.jit, static_argnums=(1, 2))  # op by op it takes seconds to compile
def _blocks_of_one(tokens_T: Array, V: int, window: int) -> Blocks:
    key, T = jax.random.key(0), len(tokens_T)  # nothing is left to chance by it
    kept = subsample(key, tokens_T, jnp.ones(V))
    half_T = half_windows(key, (T,), window, dynamic=False)
    windows = lay_windows(kept, half_T)
    return cut_blocks(windows, jnp.arange(T), 1, window)


def row(run: training.Run) -> dict:
    """What one training showed, and whether it keeps the promises of the head."""
    unseen_VV = np.isneginf(run.optimum_VV)
    outside = np.flatnonzero(run.error_I > BOUND)
    inside_from = outside[-1] + 2 if outside.size else 1
    count = np.max(run.m_VV * np.exp(run.s_VV), where=unseen_VV, initial=0)
    halfway = run.unseen_I[len(run.unseen_I) // 2 - 1]
    checks = {
        "observed": run.error_I[-1] <= BOUND,  # so written, NaN breaks them
        "unseen": count <= BOUND,
        "falls": not unseen_VV.any() or run.unseen_I[-1] < halfway,
    }
    return {
        "collisions": run.config.collisions,
        "noise_exponent": run.config.noise_exponent,
        "negatives": run.config.negatives,
        "iterations_to_bound": int(inside_from) if checks["observed"] else None,
        "largest_error": float(run.error_I[-1]),
        "largest_unseen_score": float(run.unseen_I[-1]) if unseen_VV.any() else None,
        "largest_unseen_count": float(count),
        "pairs_with_infinite_optimum": int(np.isposinf(run.optimum_VV).sum()),
        "failed": [name for name, holds in checks.items() if not holds],
        "passed": bool(all(checks.values())),
    }


if __name__ == "__main__":
    SCRIPT.run(main)
