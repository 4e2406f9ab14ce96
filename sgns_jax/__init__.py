"""Skip-gram with negative sampling in JAX: the loss, its proven gradient, a trainer."""

from sgns_jax.config import Config
from sgns_jax.corpus import Corpus, load_corpus
from sgns_jax.gradient import batch_gradient, expected_gradient, pair_gradient
from sgns_jax.hessian import pair_hvp
from sgns_jax.loss import batch_loss, expected_loss, pair_loss
from sgns_jax.noise import alias_table, draw, noise_distribution
from sgns_jax.train import fit, make_trainer
from sgns_jax.types import InputError, Params
from sgns_jax.vectors import WordVectors

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Corpus",
    "InputError",
    "Params",
    "WordVectors",
    "__version__",
    "alias_table",
    "batch_gradient",
    "batch_loss",
    "draw",
    "expected_gradient",
    "expected_loss",
    "fit",
    "load_corpus",
    "make_trainer",
    "noise_distribution",
    "pair_gradient",
    "pair_hvp",
    "pair_loss",
]
