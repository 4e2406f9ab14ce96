"""Question: what does it bring to train many models in one program?

    python -m experiments.side_by_side
    python -m experiments.side_by_side --models=60 --corpus=wiki.txt --dim=100

Trains the same models, which differ in K, the noise exponent and the seed, in
three ways:

    alone     one after another on one device, by the program that
              experiments.train --replicas=1 runs
    in turns  one program, one model at a time on each device
    at once   one program, all models at a time, vmapped on each device

and compares the vectors of the second and the third way with those of the first.
The ways take turns; the first repetition is not timed. Writes side_by_side.json.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice, product

import jax
import numpy as np
from absl.flags import FlagValues
from tqdm import tqdm

from experiments import cli
from experiments.foreseeing import learning
from experiments.provenance import provenance
from experiments.runtime import start_jax
from experiments.workdir import Workdir, read_corpus
from sgns_jax.config import Config
from sgns_jax.grid import load, make_grid, shared_shape
from sgns_jax.train import fit, init_state, make_model, make_trainer, narrowed
from sgns_jax.types import SENTENCE_END, InputError

NAME = "side_by_side.json"
NEGATIVES, EXPONENTS = (1, 2, 5, 10, 20), (0.0, 0.5, 0.75, 1.0)
SCRIPT = cli.Script(__doc__)
SCRIPT.define_config(("corpus", "min_count", "dim", "window", "negatives_mode"))
SCRIPT.define(
    "Run",
    int,
    "models",
    20,
    "How many, of 5 K x 4 exponents, then other seeds.",
    ">= 2",
)
SCRIPT.define(
    "Run", int, "tokens", 1_000_000, "Words of the corpus that each reads.", ">= 1000"
)
SCRIPT.define("Run", int, "repetitions", 3, "Of each way that are timed.", ">= 1")
SCRIPT.define_workdir("runs/side_by_side")

Vectors = list[np.ndarray]


def main(flags: FlagValues) -> None:
    for name, low in (("models", 2), ("tokens", 1000), ("repetitions", 1)):
        if flags[name].value < low:
            raise InputError(f"{name} must be >= {low}, got {flags[name].value}")
    base = dataclasses.replace(
        cli.config(flags, start_jax()), replicas=1, epochs=1, segment_tokens=2**18
    )
    workdir = Workdir(flags.workdir)
    corpus = read_corpus(base, workdir)
    tokens_T = np.array(corpus.tokens[: flags.tokens])
    counts_V = np.bincount(
        tokens_T[tokens_T != SENTENCE_END], minlength=len(corpus.vocabulary)
    )
    learning.refuse_too_few_pairs(base, tokens_T, counts_V)
    narrow = narrowed(base, corpus.longest_sentence)
    ways = {
        name: way(models_of(narrow, flags.models), counts_V, tokens_T)
        for name, way in WAYS.items()
    }
    result = provenance("side_by_side") | {
        "models": flags.models,
        "devices": jax.device_count(),
        "words": int(counts_V.sum()),
        "vocabulary": len(counts_V),
        "configuration": dataclasses.asdict(base),
        "ways": compare(ways, flags.repetitions),
    }
    workdir.write_json(NAME, result)
    print(table(result))


def models_of(base: Config, number: int) -> list[Config]:
    """The grid of K and the exponent, once for each seed until there are enough."""
    points = islice(cycle(product(NEGATIVES, EXPONENTS)), number)
    size = len(NEGATIVES) * len(EXPONENTS)
    return [
        dataclasses.replace(base, negatives=K, noise_exponent=alpha, seed=i // size)
        for i, (K, alpha) in enumerate(points)
    ]


Way = Iterator[tuple[float, Vectors]]


def alone(configs: list[Config], counts_V: np.ndarray, tokens_T: np.ndarray) -> Way:
    """Yields the seconds that training takes, without compiling, and the vectors."""
    size = counts_V, len(tokens_T)
    shape = shared_shape(configs)
    any_model = make_trainer(shape, *size)
    init = jax.jit(partial(init_state, shape, len(counts_V)))
    while True:
        seconds, vectors = 0.0, []
        for config in configs:
            model = make_model(config, *size)
            trainer = any_model._replace(state=init(model.keys.init), model=model)
            spent, state = _timed(config, trainer, tokens_T)
            seconds += spent
            vectors.append(np.asarray(state.params.w_in))
        yield seconds, vectors


def in_turns(configs: list[Config], counts_V: np.ndarray, tokens_T: np.ndarray) -> Way:
    """The same of one model at a time on each device."""
    return _grid(configs, counts_V, tokens_T, 1)


def at_once(configs: list[Config], counts_V: np.ndarray, tokens_T: np.ndarray) -> Way:
    """The same of all models at a time."""
    each = -(-len(configs) // jax.device_count())
    return _grid(configs, counts_V, tokens_T, each)


WAYS: dict[str, Callable[..., Way]] = {
    "alone": alone,
    "in turns": in_turns,
    "at once": at_once,
}


def _grid(configs, counts_V, tokens_T, each):
    grid = make_grid(shared_shape(configs), len(counts_V), len(tokens_T), each)
    while True:
        seconds, vectors = 0.0, []
        for i in range(0, len(configs), grid.size):
            turn = configs[i : i + grid.size]
            trainer = load(grid, turn, counts_V, len(tokens_T))
            spent, state = _timed(turn[0], trainer, tokens_T)
            seconds += spent
            vectors += list(np.asarray(state.params.w_in)[: len(turn)])
        yield seconds, vectors


def _timed(config, trainer, tokens_T):
    jax.block_until_ready(trainer.state)
    began = time.perf_counter()
    *_, (_, state, _) = fit(config, trainer, tokens_T)
    jax.block_until_ready(state)
    return time.perf_counter() - began, state


def compare(ways: dict[str, Way], repetitions: int) -> dict[str, dict]:
    """Times by repetition, and how far vectors are from those of the first way."""
    rows = {name: {"seconds": []} for name in ways}
    with tqdm(total=(1 + repetitions) * len(ways), leave=False) as bar:
        for repetition in range(1 + repetitions):
            for name, way in ways.items():
                bar.set_description(name)
                seconds, vectors = next(way)
                if repetition:
                    rows[name]["seconds"].append(seconds)
                elif name == "alone":
                    wanted = vectors
                else:
                    rows[name] |= _distance(vectors, wanted)
                bar.update()
    return rows


def _distance(vectors: Vectors, wanted: Vectors) -> dict:
    pairs = list(zip(vectors, wanted, strict=True))
    return {
        "equal_bits": sum(np.array_equal(got, want) for got, want in pairs),
        "largest_difference": float(max(np.abs(g - w).max() for g, w in pairs)),
        "largest_value": float(max(np.abs(want).max() for want in wanted)),
    }


def table(result: dict) -> str:
    """The ways beside each other; ratios within a repetition, then their median."""
    ways, models = result["ways"], result["models"]
    first = np.array(ways["alone"]["seconds"])
    lines = [
        f"{models} models of D = {result['configuration']['dim']} on "
        f"{result['device']}, devices: {result['devices']}; {result['words']:,} words "
        "each.",
        "",
        "          seconds a model   as fast as alone   vectors as alone",
    ]
    for name, row in ways.items():
        seconds = np.array(row["seconds"])
        ratios = first / seconds
        said = (
            f"{name:10}{np.median(seconds) / models:15.2f}{np.median(ratios):17.2f} x"
        )
        lines.append(said + f"   {_sameness(row, models)}".rstrip())
    return "\n".join(lines)


def _sameness(row: dict, models: int) -> str:
    if "equal_bits" not in row:
        return ""
    if row["equal_bits"] == models:
        return "equal to the bit"
    return f"to {row['largest_difference']:.0e} of {row['largest_value']:.2g}"


if __name__ == "__main__":
    SCRIPT.run(main)
