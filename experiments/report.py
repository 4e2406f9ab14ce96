"""What a training run says about itself: numbers for files, tables for people."""

import dataclasses
import math
import re
import time
from pathlib import Path

import optax
from jax import Array

from experiments.provenance import provenance
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.train import SegmentMetrics
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors
from sgns_jax.vocabulary import Vocabulary

#: Words with telling neighbours; the dozen most frequent in the text are shown.
_PROBES = (
    "array string thread matrix socket exception random integer parent server "
    "directory month probability client password "  # documentation
    "king france monday music water doctor river computer seven green war london "
    "she money friend sea heart "  # general English
).split()


def default_workdir(corpus: str) -> str:
    """runs/ and a name for the corpus: its file name up to the first dot."""
    name = re.sub(r"[^\w-]+", "_", Path(corpus).name.split(".")[0]).strip("_")
    return f"runs/{name or 'corpus'}"


def check_run_flags(flags) -> None:
    """Refuses values of the flags that are no part of ``Config``."""
    for name in ("restrict_vocabulary", "keep_checkpoints"):
        if flags[name].value < 1:
            raise InputError(
                f"{name} must be a whole number >= 1, got {flags[name].value}"
            )
    if not flags.checkpoint_seconds > 0:
        raise InputError(
            f"checkpoint_seconds must be a number > 0, got {flags.checkpoint_seconds}"
        )
    if flags.eval_dir and not Path(flags.eval_dir).is_dir():
        raise InputError(
            f"eval_dir {flags.eval_dir} is no folder; give one with word-pair *.tsv "
            "files or analogies, or leave the flag out"
        )


class Clock:
    """Seconds of training, those of earlier sittings of the same run included."""

    def __init__(self, before: float):
        self._start = time.perf_counter() - before

    def seconds(self) -> float:
        return time.perf_counter() - self._start


def metrics_line(
    done: int,
    rounds: int,
    config: Config,
    schedule: optax.Schedule,
    step: Array,
    metrics: SegmentMetrics,
    seconds: float,
) -> dict:
    """A line of metrics.jsonl. Losses are means over the positives that were measured.

    Raises:
      FloatingPointError: the loss is not a finite number.
    """
    loss = metrics.loss
    positive, negative = (
        float(x) / max(int(loss.pairs), 1) for x in (loss.positive, loss.negative)
    )
    if not math.isfinite(positive + negative):
        raise FloatingPointError(
            f"the loss is not finite in round {done}, before step {int(step)}; the "
            "training diverged: give a lower --learning_rate or fewer "
            "--blocks_per_step"
        )
    return {
        "round": done,
        "epoch": config.epochs * done / rounds,
        "step": int(step),
        "seconds": seconds,
        "learning_rate": float(schedule(step - 1)),
        "pairs": int(metrics.pairs),
        "loss": positive + negative,
        "positive_loss": positive,
        "negative_loss": negative,
    }


def speed(metrics: list[dict], config: Config, corpus: Corpus) -> dict:
    """Speed and final losses out of the metrics; losses are means of the last epoch.

    Raises:
      InputError: there was not one pair to learn from.
    """
    seconds = metrics[-1]["seconds"]
    pairs = sum(line["pairs"] for line in metrics)
    if not pairs:
        raise InputError(
            f"corpus {config.corpus} gave no pairs: no sentence keeps two words; give "
            "longer lines, a lower --min_count or --subsample=0"
        )
    last_epoch = [line for line in metrics if line["epoch"] > config.epochs - 1]
    weight = max(sum(line["pairs"] for line in last_epoch), 1)
    losses = {
        f"final_{part}": sum(line[part] * line["pairs"] for line in last_epoch) / weight
        for part in ("loss", "positive_loss", "negative_loss")
    }
    return {
        "train_seconds": seconds,
        "words_per_second": corpus.raw_words * config.epochs / seconds,
        "pairs_per_second": pairs / seconds,
        "pairs": pairs,
        "steps": metrics[-1]["step"],
        **losses,
    }


def result(config: Config, corpus: Corpus) -> dict:
    """What ran, on what, with which versions."""
    return {
        **provenance("train"),
        "configuration": dataclasses.asdict(config),
        "seed": config.seed,
        "raw_words": corpus.raw_words,
        "kept_words": corpus.kept_words,
        "sentences": corpus.sentences,
        "vocabulary": len(corpus.vocabulary.words),
        "replaced_bytes": corpus.replaced_bytes,
        "corpus_fingerprint": corpus.fingerprint,
    }


def summary(result: dict) -> str:
    """The short table at the end of a run."""
    rows = [
        ("reading time", f"{result['reading_seconds']:.1f} s"),
        ("compile time", f"{result['compile_seconds']:.1f} s"),
        ("training time", f"{result['train_seconds']:.1f} s"),
        ("everything", f"{result['total_seconds']:.1f} s"),
        ("words per second", f"{result['words_per_second']:,.0f}"),
        ("pairs per second", f"{result['pairs_per_second']:,.0f}"),
        ("loss per pair", f"{result['final_loss']:.4f}  (mean of the last epoch)"),
        ("  positive part", f"{result['final_positive_loss']:.4f}"),
        ("  negative part", f"{result['final_negative_loss']:.4f}"),
    ]
    return "\n".join(f"{name:<20}{value}" for name, value in rows)


def check_words(words: str, vocabulary: Vocabulary) -> None:
    """Refuses words to show that the corpus lacks, before any training."""
    for word in filter(None, words.split(",")):
        if word not in vocabulary.words:
            raise InputError(
                f"--words has {word!r}, which the corpus does not hold often enough; "
                "leave it out, or give a lower --min_count"
            )


def neighbours(vectors: WordVectors, words: str) -> dict[str, list[tuple[str, float]]]:
    """Nearest neighbours of the given words (separated by commas), or of a dozen.

    Raises:
      UnknownWordError: one of ``words`` is not in the vocabulary.
    """
    chosen = [word for word in words.split(",") if word] or _choose(vectors)
    return {word: vectors.nearest(word, top=10) for word in chosen}


def neighbour_table(found: dict[str, list[tuple[str, float]]], width: int = 80) -> str:
    """A line a word, with as many neighbours as fit the width."""
    lines = ["Nearest neighbours, by cosine"]
    for word, others in found.items():
        line = f"  {word:<14}"
        for other, cosine in others:
            entry = f" {other} " + f"{cosine:.2f}".replace("0.", ".", 1)
            if len(line) + len(entry) <= width:
                line += entry
        lines.append(line)
    return "\n".join(lines)


def _choose(vectors: WordVectors, number: int = 12) -> list[str]:
    """Probes in the vocabulary; where there are few, words of middling frequency."""
    known = sorted(filter(vectors.__contains__, _PROBES), key=vectors.index)[:number]
    if len(known) == number:
        return known
    V = len(vectors)
    middling = [vectors.words[round(V ** (i / number)) - 1] for i in range(4, 12)]
    return list(dict.fromkeys(known + middling))[:number]
