"""Question: which word vectors does this text give?

    python -m experiments.train
    python -m experiments.train --corpus=books/ --workdir=runs/books --epochs=10

Trains skip-gram with negative sampling and writes into the work folder:

    vectors.txt     the vectors, word2vec text format, most frequent word first
    result.json     settings, versions, speed, losses, scores
    metrics.jsonl   losses and learning rate, a line a round
    loss.png        the same as a picture
    map.png         the most frequent words on a plane
    checkpoints/    where the same command goes on after an interruption
    corpus/         the encoded text
"""

import time

import jax
import numpy as np
from absl.flags import FlagValues
from tqdm import tqdm

from experiments import cli, report
from experiments.provenance import device
from experiments.runtime import start_jax
from experiments.workdir import Workdir, read_corpus
from sgns_jax.checkpoint import Checkpoints
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.evaluation import evaluate_folder, format_table, to_json
from sgns_jax.train import Trainer, fit, make_trainer, num_rounds
from sgns_jax.vectors import WordVectors

SCRIPT = cli.Script(__doc__, again="goes on from the last checkpoint")
SCRIPT.define_config()
SCRIPT.define(
    "Run", str, "workdir", "",
    "Folder for results; made if missing. Empty: runs/ and the corpus's name. The "
    "same command on the same folder goes on where it stopped.",
    "a folder one may write to",
)  # fmt: skip
SCRIPT.define(
    "Run", str, "eval_dir", "",
    "Folder with word-pair files (*.tsv: word, word, score) and analogies in Google's "
    "format (*.txt) to score the vectors with. Empty: none.",
    "a folder",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "restrict_vocabulary", 30_000,
    "Answer analogies among so many of the most frequent words (gensim: 300000; the "
    "Google set is often scored at 30000).",
    "a whole number >= 1",
)  # fmt: skip
SCRIPT.define(
    "Run", str, "words", "",
    "Words whose nearest neighbours are shown at the end, separated by commas. Empty: "
    "a dozen are chosen.",
    "words of the corpus",
)  # fmt: skip
SCRIPT.define(
    "Run", float, "checkpoint_seconds", 60.0,
    "Write a checkpoint every so many seconds, and one at the end.",
    "a number > 0",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "keep_checkpoints", 2,
    "How many of the newest checkpoints stay on disk.",
    "a whole number >= 1",
)  # fmt: skip


def main(flags: FlagValues) -> None:
    config = cli.config(flags, start_jax())
    report.check_run_flags(flags)
    workdir = Workdir(flags.workdir or report.default_workdir(config.corpus))
    if workdir.finished(config):
        print(
            f"This run is finished: {workdir.path('vectors.txt')} holds its vectors. "
            "To train anew, give another --workdir."
        )
        vectors = WordVectors.load(workdir.path("vectors.txt"))
        return conclude(flags, workdir, vectors, workdir.read_result())
    started = time.perf_counter()
    corpus = read_corpus(config, workdir)
    reading_seconds = time.perf_counter() - started
    report.check_words(flags.words, corpus.vocabulary)
    workdir.claim(config, corpus.fingerprint)
    counts, tokens = corpus.vocabulary.counts, corpus.tokens
    print(
        f"{corpus.raw_words:,} words, {len(counts):,} different ones seen at least "
        f"{config.min_count} times, on {device()}"
    )
    if corpus.replaced_bytes:
        print(
            f"{corpus.replaced_bytes:,} times the text was not UTF-8; U+FFFD stands "
            "for what could not be read"
        )
    compiling = time.perf_counter()
    trainer = make_trainer(config, counts, len(tokens))
    compile_seconds = time.perf_counter() - compiling
    vectors, speed = train(flags, config, trainer, corpus, workdir)
    workdir.save_vectors(vectors)
    result = report.result(config, corpus) | speed
    result["reading_seconds"] = reading_seconds
    result["compile_seconds"] = compile_seconds
    from experiments import plots  # not before: matplotlib, scikit-learn take seconds

    plots.loss(workdir.read_metrics(), workdir.path("loss.png"))
    plots.word_map(vectors, workdir.path("map.png"))
    result["total_seconds"] = time.perf_counter() - started
    conclude(flags, workdir, vectors, result)


def train(
    flags: FlagValues,
    config: Config,
    trainer: Trainer,
    corpus: Corpus,
    workdir: Workdir,
) -> tuple[WordVectors, dict]:
    """Trains to the end, from the newest checkpoint if there is one."""
    rounds = config.epochs * num_rounds(
        config, len(corpus.tokens), len(corpus.vocabulary)
    )
    words_per_round = config.epochs * corpus.raw_words / rounds
    with Checkpoints(workdir.path("checkpoints"), flags.keep_checkpoints) as saved:
        first = saved.latest() or 0
        if first:
            trainer = trainer._replace(state=saved.restore(trainer.state))
            print(f"Going on from round {first} of {rounds}.")
        log = workdir.open_metrics(first)
        clock = report.Clock(log.seconds)
        bar = tqdm(
            total=config.epochs * corpus.raw_words,
            initial=round(first * words_per_round),
            unit="word",
            unit_scale=True,
            desc="training",
            mininterval=0.5,
        )

        def report_round(done, step, metrics):
            line = report.metrics_line(
                done, rounds, config, trainer.schedule, step, metrics, clock.seconds()
            )
            log.write(line)
            bar.set_postfix_str(
                f"loss={line['loss']:.3f} lr={line['learning_rate']:.2g}", refresh=False
            )
            bar.update(round(done * words_per_round) - bar.n)

        with log, bar:
            pending, state = None, trainer.state
            last_save = time.perf_counter()
            for done, state, metrics in fit(config, trainer, corpus.tokens, first):
                # The device works on this round while the one before is reported.
                if pending:
                    report_round(*pending)
                pending = done, jax.numpy.copy(state.step), metrics
                due = time.perf_counter() - last_save >= flags.checkpoint_seconds
                if due or done == rounds:
                    # What a checkpoint has done is in the metrics before it is saved.
                    report_round(*pending)
                    pending = None
                    saved.save(done, state)
                    last_save = time.perf_counter()
        matrix = np.asarray(state.params.w_in)
    speed = report.speed(workdir.read_metrics(), config, corpus)
    return WordVectors(tuple(corpus.vocabulary.words), matrix), speed


def conclude(
    flags: FlagValues, workdir: Workdir, vectors: WordVectors, result: dict
) -> None:
    """Keeps the result, scores the vectors if asked, prints the summary."""
    result["neighbours"] = report.neighbours(vectors, flags.words)
    workdir.save_result(result)  # an unreadable file in eval_dir costs no training
    print("\n" + report.summary(result))
    print("\n" + report.neighbour_table(result["neighbours"]))
    if flags.eval_dir:
        scores = evaluate_folder(vectors, flags.eval_dir, flags.restrict_vocabulary)
        workdir.save_result(result | {"evaluation": to_json(scores)})
        print("\n" + format_table(scores))
    print(f"\nVectors: {workdir.path('vectors.txt')}")
    print(f"Pictures: {workdir.path('loss.png')}, {workdir.path('map.png')}")


if __name__ == "__main__":
    SCRIPT.run(main)
