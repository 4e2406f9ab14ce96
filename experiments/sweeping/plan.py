"""What a sweep varies, and the points where it measures speed."""

from typing import NamedTuple

from absl.flags import FlagValues

from sgns_jax.config import Config
from sgns_jax.train import TOKENS_PER_ROW
from sgns_jax.types import InputError

#: What can be varied: what it is called, and the values tried by default.
SETTINGS = {
    "vocabulary": (
        "V, words of the vocabulary",
        "10000,30000,70000,200000,500000,1000000,3000000",
    ),
    "dim": ("D, dimension of a vector", "50,100,200,300,500,1000"),
    "negatives": ("K, noise words per pair", "1,2,5,10,20,50"),
    "window": ("W, largest half-window", "2,5,10,15,20"),
    "noise_words": ("N, noise words a block shares", "8,16,32,64"),
    "block_size": ("C, centres of a block", "8,16,32,64"),
    "blocks_per_step": ("B, blocks of a step", "16,64,256,1024"),
    "product_dtype": ("dtype of the products", "bfloat16,float32"),
    "replicas": ("R, copies of the model that train side by side", "1,2"),
}
BASE_VOCABULARY = 70_000  #: 100 MB of English Wikipedia have as many, seen >= 5 times
#: Their rows, 8 MB at D = 100, stay in the caches. Only the alias table, a slot of
#: which is read for each noise word, is as long as the vocabulary.
COMMON_WORDS = 10_000
COMMON = "vocabulary_of_common_words"  #: the curve of the text that has them alone
ROUNDS = 4  #: of a measurement at least; the first one is not timed

Value = int | str
Settings = dict[str, Value]


class Point(NamedTuple):
    """Where speed is measured."""

    vocabulary: int  #: V
    text_words: int  #: the text is drawn from so many of the most frequent words
    tokens: int  #: T, its length
    config: Config

    def settings(self) -> Settings:
        """What tells a point from the others."""
        settings = self._asdict()
        config = settings.pop("config")
        return settings | {name: getattr(config, name) for name in _OF_CONFIG}


_OF_CONFIG = [name for name in SETTINGS if name not in Point._fields]


class Plan(NamedTuple):
    """What a sweep measures."""

    base: Settings
    curves: dict[str, dict[Value, Point]]  #: by the setting that is varied

    def base_of(self, curve: str) -> Value:
        """The value of a curve that belongs to the base."""
        return self.base["vocabulary" if curve == COMMON else curve]

    def points(self) -> list[Point]:
        """All points, each of them once."""
        every = (point for curve in self.curves.values() for point in curve.values())
        return list(dict.fromkeys(every))


def make_plan(flags: FlagValues, backend: str) -> Plan:
    """The points that the flags ask for: each setting varied by itself.

    The base has the default settings of the backend.

    Raises:
      InputError: a flag is out of its range.
    """
    for name, low in (("tokens", 1000), ("repetitions", 1), ("memory_gb", 0)):
        if not flags[name].value >= low:
            raise InputError(f"{name} must be >= {low}, got {flags[name].value}")
    values = {name: _values(name, flags[name].value) for name in SETTINGS}
    default = Config(backend=backend)
    base = {"vocabulary": BASE_VOCABULARY, "tokens": flags.tokens}
    base |= {name: getattr(default, name) for name in _OF_CONFIG}
    base |= {name: one[0] for name, one in values.items() if len(one) == 1}
    curves = {}
    for name in dict.fromkeys(flags.sweeps.split(",")):
        if name not in SETTINGS:
            known = ", ".join(SETTINGS)
            raise InputError(f"sweeps must be some of {known}, got {name!r}")
        tried = sorted({base[name], *values[name]})
        curves[name] = {x: _point(base | {name: x}) for x in tried}
        if name == "vocabulary":
            curves[COMMON] = {
                V: point._replace(text_words=min(V, COMMON_WORDS))
                for V, point in curves[name].items()
            }
    return Plan(base, curves)


def _values(name: str, text: str) -> list[Value]:
    parts = [part.strip() for part in text.split(",")]
    if name == "product_dtype":
        return parts
    if not all(part.isdecimal() and int(part) for part in parts):
        needs = "whole numbers >= 1, commas between"
        raise InputError(f"{name} must be {needs}, got {text!r}")
    return [int(part) for part in parts]


def _point(settings: Settings) -> Point:
    V, T = settings["vocabulary"], settings["tokens"]
    of_config = {name: settings[name] for name in _OF_CONFIG}
    segments = ROUNDS * settings["replicas"]
    size = min(T // segments, Config().segment_tokens)
    if settings["replicas"] > 1:  # a large vocabulary has longer rounds
        T = max(T, segments * TOKENS_PER_ROW * V)
    return Point(V, V, T, Config(epochs=1, segment_tokens=size, **of_config))
