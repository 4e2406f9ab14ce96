"""What a training run says about itself: numbers for files, tables for people."""

import dataclasses
import math
import re
from pathlib import Path

from experiments.cli import wrapped
from experiments.provenance import provenance
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.evaluation_files import read_folder
from sgns_jax.train import expected_kept
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
#: Knowing how frequent words are and nothing else brings the loss with K = 5 to 0.65 of
#: (K + 1)·ln 2, with K = 2 to 0.92, with K = 1 nowhere: above this share not even that
#: is learnt.
_NOT_MOVED = 0.95
#: Models of natural text have mean cosines of 0.1 to 0.25 at the defaults, and of 0.97
#: at the most extreme noise, α = -0.5 with K = 10 (experiments/results).
_ONE_DIRECTION = 0.95


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
    if flags.device_memory < 0:
        raise InputError(
            f"device_memory must be a number >= 0, got {flags.device_memory}"
        )
    if flags.on_nonfinite not in ("stop", "halve"):
        raise InputError(
            f"on_nonfinite must be stop or halve, got {flags.on_nonfinite!r}"
        )
    check_eval_dir(flags.eval_dir)


def check_eval_dir(folder: str) -> None:
    """Reads what vectors will be scored with, before any training; says what it is not.

    Raises:
      InputError: it cannot be read, or there is nothing.
    """
    if not folder:
        return
    if not Path(folder).is_dir():
        raise InputError(f"eval_dir {folder} is no folder; give one, or none")
    for remark in read_folder(folder).remarks:
        print(wrapped(f"eval_dir: {remark}"))


def speed(metrics: list[dict], rounds: int, config: Config, corpus: Corpus) -> dict:
    """Speed and final losses out of the metrics; losses are means of the last epoch.

    Where lines are missing, because the file was damaged, they are those of the rest.

    Raises:
      InputError: there was not one pair to learn from.
    """
    pairs = sum(line["pairs"] for line in metrics)
    if not pairs and len(metrics) == rounds:
        raise InputError(
            f"corpus {config.corpus} gave no pairs: no sentence keeps two words; give "
            "longer lines, a lower --min_count or --subsample=0"
        )
    seconds = _seconds(metrics)
    words = corpus.raw_words * config.epochs * len(metrics) / rounds
    last_epoch = [line for line in metrics if line["epoch"] > config.epochs - 1]
    weight = sum(line["pairs"] for line in last_epoch)
    losses = {
        f"final_{part}": _ratio(
            sum(line[part] * line["pairs"] for line in last_epoch), weight
        )
        for part in ("loss", "positive_loss", "negative_loss")
    }
    return {
        "train_seconds": seconds,
        "words_per_second": _ratio(words, seconds),
        "pairs_per_second": _ratio(pairs, seconds),
        "pairs": pairs,
        "steps": max((line["step"] for line in metrics), default=None),
        "rounds": rounds,
        "rounds_in_metrics": len(metrics),
        **losses,
    }


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _seconds(metrics: list[dict]) -> float:
    """What the rounds of the lines took; their clock goes on from line to line."""
    clock = {line["round"]: line["seconds"] for line in metrics}
    return sum(s - clock.get(n - 1, s if n > 1 else 0.0) for n, s in clock.items())


def result(config: Config, corpus: Corpus) -> dict:
    """What ran, on what, with which versions."""
    return {
        **provenance("train"),
        "configuration": dataclasses.asdict(config),
        "seed": config.seed,
        "raw_words": corpus.raw_words,
        "kept_words": corpus.kept_words,
        "dropped_by_min_count": corpus.dropped_by_min_count,
        "dropped_by_max_vocabulary": corpus.dropped_by_max_vocabulary,
        "dropped_by_subsampling_expected": corpus.kept_words
        - expected_kept(config, corpus.vocabulary.counts),
        "sentences": corpus.sentences,
        "vocabulary": len(corpus.vocabulary.words),
        "replaced_bytes": corpus.replaced_bytes,
        "corpus_fingerprint": corpus.fingerprint,
    }


def summary(result: dict) -> str:
    """The short table at the end of a run."""
    loss = _shown(result["final_loss"], ".4f")
    rows = [
        ("reading time", f"{result['reading_seconds']:.1f} s"),
        ("compile time", f"{result['compile_seconds']:.1f} s"),
        ("training time", f"{result['train_seconds']:.1f} s"),
        ("pictures", _shown(result.get("pictures_seconds"), ".1f", " s")),
        ("everything", f"{result['total_seconds']:.1f} s"),
        ("words per second", _shown(result["words_per_second"], ",.0f")),
        ("pairs per second", _shown(result["pairs_per_second"], ",.0f")),
        ("loss per pair", loss + "  (mean of the last epoch)"),
        ("  positive part", _shown(result["final_positive_loss"], ".4f")),
        ("  negative part", _shown(result["final_negative_loss"], ".4f")),
    ]
    missing = result["rounds"] - result["rounds_in_metrics"]
    if missing:
        rows.append((f"metrics.jsonl lacks {missing} rounds, which are left out", ""))
    return "\n".join(f"{name:<20}{value}" for name, value in rows)


def _shown(value: float | None, form: str, unit: str = "") -> str:
    return "not known" if value is None else format(value, form) + unit


def mean_cosine(vectors: WordVectors) -> float:
    """The mean cosine of two different words, (V·|m|² − 1) / (V − 1).

    m is the mean of the unit vectors, and |Σ v|² is the sum of all cosines.
    """
    V, mean_D = len(vectors), vectors.normalized.mean(axis=0, dtype=float)
    return float((V * (mean_D @ mean_D) - 1) / (V - 1))


def warnings(result: dict) -> list[str]:
    """What speaks against the vectors of a run: a line each, with what to change."""
    start = (result["configuration"]["negatives"] + 1) * math.log(2)
    loss, cosine, lines = result["final_loss"], result["mean_cosine"], []
    if loss is not None and loss > _NOT_MOVED * start:
        lines.append(
            f"the loss, {loss:.3f} a pair, has not left (K + 1) ln 2 = {start:.3f}, "
            "where it begins: next to nothing was learnt; give more --epochs, fewer "
            "--blocks_per_step or another --learning_rate"
        )
    if cosine > _ONE_DIRECTION:
        changes = "more --epochs or fewer --blocks_per_step"
        if subsample := result["configuration"]["subsample"]:
            changes = f"--subsample=0 or above {subsample:g}, {changes}"
        lines.append(
            f"the vectors hold one direction, the mean cosine of two is {cosine:.3f}: "
            f"neighbours say little; give {changes}"
        )
    return lines


def nameless_words(words: list[str]) -> str:
    """What is said of words that map.png cannot name; some of them stand for all."""
    some = ", ".join(words[:3]) + (", …" if len(words) > 3 else "")
    return (
        f"{len(words)} words of map.png are points without a name: no installed font "
        f"has all letters of {some}; install one, like Noto Sans CJK for Chinese, "
        "Japanese and Korean"
    )


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
