"""Every setting of a run: meaning, range, default and source, in one place.

The experiment scripts make their flags and help pages from this table, so a setting
is described once.
"""

import codecs
import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from sgns_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a user should know of a setting, and how its value is checked."""

    group: str  #: heading on the help page
    meaning: str  #: what it does, where the value comes from
    needs: str  #: the range, in words
    holds: Callable[[Any], bool]  #: is the value in the range?
    ends: tuple = ()  #: of a number: the lowest and the highest value


class OptimizerDefaults(NamedTuple):
    """Settings that depend on the optimiser when the user gives none."""

    learning_rate: float
    tokens_per_step: float  #: at most


#: Adagrad and Adam bound the step of a row however many pairs fall on it; SGD does
#: not, and diverges on large steps, so it takes small ones at word2vec.c's rate.
OPTIMIZERS = {
    "adagrad": OptimizerDefaults(learning_rate=0.04, tokens_per_step=math.inf),
    "adam": OptimizerDefaults(learning_rate=0.01, tokens_per_step=math.inf),
    "sgd": OptimizerDefaults(learning_rate=0.025, tokens_per_step=128),
}


class BackendDefaults(NamedTuple):
    """Settings that depend on the kind of device when the user gives none."""

    tokens_per_step: int
    replicas: int


#: A core works off the blocks of a step one by one: large steps gain nothing once its
#: fixed cost is small, and two cores do most apart, a replica each. A chip with
#: thousands of lanes works off blocks at once, and is one device.
BACKENDS = {
    "cpu": BackendDefaults(tokens_per_step=1024, replicas=2),
    "gpu": BackendDefaults(tokens_per_step=16_384, replicas=1),
    "tpu": BackendDefaults(tokens_per_step=16_384, replicas=1),
}


def backend_here() -> str:
    """The kind of the device that JAX finds: a key of ``BACKENDS``; it starts JAX.

    What JAX has by another name ("METAL") is a chip of many lanes, as a GPU is.
    """
    name = jax.default_backend()
    return name if name in BACKENDS else "gpu"


def _setting(group, default, meaning, needs, holds, ends=()):
    metadata = {"setting": Setting(group, meaning, needs, holds, ends)}
    return dataclasses.field(default=default, metadata=metadata)


def _whole(group, default, meaning, low, high=2**31 - 1):
    def holds(value):
        return type(value) is int and low <= value <= high

    needs = f"a whole number from {low} to {high}"
    return _setting(group, default, meaning, needs, holds, (low, high))


def _number(group, default, meaning, low, high=sys.float_info.max, needs=None):
    def holds(value):
        return type(value) in (int, float) and low <= value <= high

    needs = needs or f"a number from {low:g} to {high:g}"
    return _setting(group, default, meaning, needs, holds, (low, high))


def _choice(group, default, meaning, *choices):
    return _setting(group, default, meaning, " | ".join(choices), choices.__contains__)


def _is_text_encoding(value):
    try:
        "a".encode(value)  # some codecs are not of text
        codecs.getincrementaldecoder(value)("backslashreplace").decode(b"a")
    except (TypeError, ValueError, LookupError):
        return False
    return True


def _switch(group, default, meaning):
    needs = "true | false"
    return _setting(group, default, meaning, needs, lambda v: isinstance(v, bool))


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings that decide a run's numbers; two equal ones give equal vectors.

    Where ``blocks_per_step`` or ``replicas`` is left open and ``backend`` too, JAX is
    asked for its device, which starts it: what must come before
    (``jax.distributed.initialize``) does, or one gives ``backend``.

    Raises:
      InputError: at construction, if a value is outside its range.
    """

    # Text
    corpus: str = _setting(
        "Text",
        "pydoc",
        "What to train on: 'pydoc' (the Python documentation on this machine), "
        "'text8' (downloaded once), or a file, folder or glob of text, plain or packed "
        "(.gz, .bz2, .xz, .zst, .lz4), or '-' for standard input. A file here that has "
        "a built-in name goes before it.",
        "a built-in name or a path",
        lambda value: isinstance(value, str) and value != "",
    )
    encoding: str = _setting(
        "Text",
        "utf-8",
        "What the text is encoded by: utf-8, utf-16, latin-1, gb18030, shift_jis, ...",
        "a text encoding that Python knows",
        _is_text_encoding,
    )
    min_count: int = _whole(
        "Text", 5, "Words seen less often are left out (word2vec.c: 5).", 1
    )
    max_vocabulary: int = _whole(
        "Text", 0, "Keep only so many of the most frequent words; 0 keeps all.", 0
    )
    tokenizer: str = _choice(
        "Text",
        "whitespace",
        "What a word is: what stands between white space (as for word2vec.c); a run of "
        "letters and digits of any script, which drops punctuation; or what stands "
        "between TABs, with _ for spaces inside (for items whose names hold some).",
        "whitespace",
        "letters",
        "tabs",
    )
    lowercase: bool = _switch("Text", False, "Fold capitals to lower case first.")
    sentence_length: int = _whole(
        "Text",
        0,
        "Cut sentences after so many words; 0: a sentence is a line, however long "
        "(word2vec.c cuts at 1000).",
        0,
    )

    # Model
    dim: int = _whole("Model", 100, "D, the dimension of a vector.", 1)
    window: int = _whole(
        "Model",
        5,
        "W, the largest half-window, in kept words to either side. One that no "
        "sentence fills costs what the longest sentence does.",
        1,
        2**30,
    )
    dynamic_window: bool = _switch(
        "Model",
        True,
        "Draw each centre's half-window from 1..W (word2vec.c), or always use W.",
    )
    negatives: int = _whole(
        "Model",
        5,
        "K, noise words per positive pair (Mikolov 2013: 5 to 20 for small corpora, "
        "2 to 5 for large).",
        1,
    )
    noise_exponent: float = _number(
        "Model",
        0.75,
        "The exponent a of the noise, P(w) ~ count(w)^a: 1 unigram, 0 uniform, below "
        "0 prefers rare words (Mikolov 2013: 0.75).",
        -1e300,  # a times log(count) is to be finite, too
        1e300,
    )
    collisions: str = _choice(
        "Model",
        "keep",
        "A noise word that equals the positive counts (unbiased for the stated "
        "loss), or is skipped (word2vec.c).",
        "keep",
        "skip",
    )
    negatives_mode: str = _choice(
        "Model",
        "shared",
        "Noise words are drawn once a block with weight K/N (fast; same expected "
        "loss), or K for each pair, as the paper says (slow).",
        "shared",
        "independent",
    )
    subsample: float = _number(
        "Model",
        1e-4,
        "t: words more frequent than t are thinned out; 0 keeps every word "
        "(Mikolov 2013: 1e-5 to 1e-3).",
        0,
        needs="a number >= 0",
    )
    subsample_rule: str = _choice(
        "Model",
        "word2vec",
        "Keep with probability sqrt(t/f) + t/f, as word2vec.c does, or sqrt(t/f), "
        "as the paper says.",
        "word2vec",
        "paper",
    )

    # Training
    epochs: int = _whole("Training", 5, "Passes over the corpus (word2vec.c: 5).", 1)
    seed: int = _whole(
        "Training", 0, "Seed of all random numbers; equal seeds, equal vectors.", 0
    )
    optimizer: str = _choice(
        "Training",
        "adagrad",
        "Row-wise Adagrad, SGD as in word2vec.c, or Adam on touched rows.",
        *OPTIMIZERS,
    )
    adagrad_power: float = _number(
        "Training",
        0.15,
        "Adagrad's steps on a row fall as 1/n^power with the n gradients that the row "
        "has had; Adagrad's own is 0.5.",
        0,
        1,
    )
    learning_rate: float | None = _number(
        "Training",
        None,
        "The learning rate at the start; default "
        + ", ".join(f"{d.learning_rate:g} for {o}" for o, d in OPTIMIZERS.items())
        + ".",
        1e-37,  # float32 has neither smaller nor larger ones
        1e38,
    )
    schedule: str = _choice(
        "Training",
        "linear",
        "How the learning rate falls over the run: linear to 1/10000 of itself "
        "(word2vec.c), by a cosine to the same, or not at all.",
        "linear",
        "cosine",
        "constant",
    )
    gradient: str = _choice(
        "Training",
        "analytic",
        "The gradient derived by hand, or jax.grad of the loss: the same numbers to "
        "rounding.",
        "analytic",
        "autodiff",
    )
    updates: str = _choice(
        "Training",
        "rows",
        "The optimiser acts on the rows a step touches, or on whole tables (small "
        "vocabularies only).",
        "rows",
        "dense",
    )

    # Batching
    backend: str | None = _choice(
        "Batching",
        None,
        "The kind of device that blocks_per_step and replicas suit where they are not "
        "given; default: that of the device that JAX finds.",
        *BACKENDS,
    )
    block_size: int = _whole(
        "Batching", 16, "C, centres of a block: they share noise words.", 1, 2**30
    )
    noise_words: int = _whole(
        "Batching", 32, "N, noise words a block shares; more are better, slower.", 1
    )
    blocks_per_step: int | None = _whole(
        "Batching",
        None,
        "B, blocks of one optimiser step; default: as many as make "
        + ", ".join(f"{d.tokens_per_step} tokens on a {b}" for b, d in BACKENDS.items())
        + f", {OPTIMIZERS['sgd'].tokens_per_step} with sgd.",
        1,
        2**30,
    )
    product_dtype: str = _choice(
        "Batching",
        "bfloat16",
        "What the products of a block multiply in: bfloat16, added up in float32, or "
        "float32 as the vectors are. Faster, and equally good vectors.",
        "bfloat16",
        "float32",
    )
    loss_every: int = _whole(
        "Batching",
        16,
        "Steps from one measurement of the loss to the next; 1 measures every step.",
        1,
    )
    replicas: int | None = _whole(
        "Batching",
        None,
        "Copies of the model that train side by side, on a device each where there are "
        "as many, and are merged after every segment or --sync_every; default "
        + ", ".join(f"{d.replicas} on a {b}" for b, d in BACKENDS.items())
        + ". 1: one model, no merging.",
        1,
    )
    sync_every: int = _whole(
        "Batching",
        0,
        "Merge replicas after so many steps of each; 0: after a segment. A merge reads "
        "every row of both tables, so few steps take long.",
        0,
    )
    segment_tokens: int = _whole(
        "Batching",
        2**20,
        "Words handed to a device at a time, and at least 8 for each word of the "
        "vocabulary where replicas are merged; windows end at a segment's ends.",
        16,
        2**30,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            setting, value = field.metadata["setting"], getattr(self, field.name)
            left_open = value is None and field.default is None
            if not (left_open or setting.holds(value)):
                raise InputError(
                    f"{field.name} must be {setting.needs}, got {value!r}; "
                    "--help says what it does"
                )
        _fill(self)
        if self.sync_every and self.replicas == 1:
            raise InputError(
                f"sync_every = {self.sync_every} merges replicas, and there is one "
                "model; give replicas, one for each device that trains by itself, or "
                "sync_every = 0"
            )
        if (tokens := self.blocks_per_step * self.block_size) > 2**30:
            raise InputError(
                f"blocks_per_step x block_size must be at most {2**30}, as many tokens "
                f"as a segment may have, got {tokens}; give a lower blocks_per_step"
            )


def _fill(config: Config) -> None:
    """Gives what was left open its default."""

    def fill(name, value):
        if getattr(config, name) is None:
            object.__setattr__(config, name, value)

    optimizer = OPTIMIZERS[config.optimizer]
    fill("learning_rate", optimizer.learning_rate)
    if None not in (config.blocks_per_step, config.replicas):
        return  # and JAX need not be asked
    fill("backend", config.backend or backend_here())
    backend = BACKENDS[config.backend]
    tokens = min(backend.tokens_per_step, optimizer.tokens_per_step)
    fill("blocks_per_step", max(1, tokens // config.block_size))
    fill("replicas", backend.replicas)
