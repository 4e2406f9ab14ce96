"""Question: is the sampled gradient right on average, and how far does it stray?

    python -m experiments.estimator
    python -m experiments.estimator --corpus=books/ --workdir=runs/books

Trains word vectors for one epoch, takes a block of the text, and draws the
gradient of a training step again and again. Compared with what is known exactly
are its mean (independent and shared noise words, collisions kept and skipped),
its variance against K, against the noise exponent and against N, the sampler of
noise words, and the pairs that subsampling and dynamic windows make. Writes
into the work folder:

    estimator.json   every check and every curve
    estimator.png    the same as pictures
    corpus/          the encoded text

Exit status 1 if a check fails. There are some 750 z-scores with the bound 5 and
five p-values with the bound 1e-6: by the normal law a right estimator fails at
one seed in two thousand. A minute on two cores, and 15 s to read the text the
first time.
"""

import dataclasses
import textwrap

import jax
import numpy as np
from absl.flags import FlagValues
from tqdm import tqdm

from experiments import cli
from experiments.estimation import plots
from experiments.estimation.checks import Check, table
from experiments.estimation.curves import (
    Curve,
    check_curves,
    check_mean,
    draw_curves,
    equal_noise_words,
    findings,
)
from experiments.estimation.exact import check_gradients, check_pairs
from experiments.estimation.gradient import Study, make_study
from experiments.estimation.pairs import (
    TextPairs,
    check_independent_words,
    check_text,
)
from experiments.estimation.sampling import check_sampler
from experiments.foreseeing import learning
from experiments.provenance import provenance
from experiments.workdir import Workdir, read_corpus
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.train import fit, make_trainer, narrowed, num_rounds
from sgns_jax.types import InputError, Params

SCRIPT = cli.Script(__doc__)
SCRIPT.define_config(
    "corpus min_count dim window negatives noise_exponent subsample subsample_rule "
    "seed block_size noise_words".split()
)
SCRIPT.define_workdir("runs/estimator")
SCRIPT.define(
    "Run", int, "draws", 500,
    "How often the gradient is drawn at each setting; standard errors fall with the "
    "square root.",
    "a whole number >= 100",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "texts", 1000,
    "How often a text is subsampled and its windows drawn.",
    "a whole number >= 100",
)  # fmt: skip


def main(flags: FlagValues) -> int:
    check_flags(flags)
    # One epoch, so that the variance is that of a training and not of its start.
    config = dataclasses.replace(cli.config(flags), epochs=1)
    workdir = Workdir(flags.workdir)
    corpus = read_corpus(config, workdir)
    learning.refuse_too_few_pairs(config, corpus.tokens, corpus.vocabulary.counts)
    print(
        f"{corpus.raw_words:,} words, {len(corpus.vocabulary):,} different ones; "
        "gradients at vectors after one epoch\n"
    )
    study = make_study(config, corpus, train(config, corpus))
    repeats = flags.draws, flags.texts
    checks, curves, drawn, pairs = measure_all(study, config, corpus, *repeats)
    save(workdir, config, study, checks, curves, pairs)
    picture = workdir.path("estimator.png")
    plots.save(picture, study, curves, drawn, pairs)
    print(table(checks) + "\n")
    for finding in findings(study, curves):
        print(textwrap.fill(finding, 80, subsequent_indent="  "))
    print(f"\nPicture: {picture}")
    failed = sum(not check.holds for check in checks)
    print(f"{failed} of {len(checks)} checks fail" if failed else "All checks hold")
    return 1 if failed else 0


def check_flags(flags: FlagValues) -> None:
    for name in ("draws", "texts"):
        if flags[name].value < 100:
            raise InputError(
                f"{name} must be a whole number >= 100, got {flags[name].value}; fewer "
                "give no standard error to go by"
            )


def train(config: Config, corpus: Corpus) -> Params:
    """The vectors at the end of a training."""
    config = narrowed(config, corpus.longest_sentence)
    trainer = make_trainer(config, corpus.vocabulary.counts, len(corpus.tokens))
    total = config.epochs * num_rounds(
        config, len(corpus.tokens), len(corpus.vocabulary)
    )
    rounds = fit(config, trainer, corpus.tokens)
    for _, state, _ in tqdm(rounds, "training", total, leave=False):  # noqa: B007
        pass
    return state.params


def measure_all(
    study: Study, config: Config, corpus: Corpus, draws: int, texts: int
) -> tuple[list[Check], dict[str, Curve], dict[float, np.ndarray], TextPairs]:
    """All checks, and what the picture shows: curves, words drawn, pairs of a text."""
    # Not the keys of the training: at draws that the vectors were trained with the
    # variance was seen to be up to three times as large.
    keys = jax.random.split(jax.random.key(config.seed + 1), 5)
    checks = check_gradients(config.seed) + check_mean(study, keys[0], draws)
    curves = draw_curves(study, keys[1], draws)
    of_sampler, drawn = check_sampler(study.counts, keys[2])
    of_text, pairs = check_text(config, corpus, keys[3], texts)
    of_words = check_independent_words(config, study.counts, keys[4], texts)
    checks += check_curves(curves) + of_sampler + check_pairs() + of_text + of_words
    return checks, curves, drawn, pairs


def save(
    workdir: Workdir,
    config: Config,
    study: Study,
    checks: list[Check],
    curves: dict[str, Curve],
    pairs: TextPairs,
) -> None:
    """Writes estimator.json."""
    far = int(np.flatnonzero(pairs.expected)[-1]) + 1
    result = {
        "configuration": dataclasses.asdict(config),
        "pairs_of_the_block": len(study.pairs_P2),
        "checks": [check._asdict() | {"holds": check.holds} for check in checks],
        "variance": {
            name: [{"value": value, **point._asdict()} for value, point in curve]
            for name, curve in curves.items()
        },
        "equal_noise_words": equal_noise_words(study),
        "pairs_by_words_apart": {
            name: getattr(pairs, name)[:far].tolist()
            for name in ("drawn", "expected", "unsubsampled")
        },
    }
    workdir.write_json("estimator.json", provenance("estimator") | result)


if __name__ == "__main__":
    SCRIPT.run(main)
