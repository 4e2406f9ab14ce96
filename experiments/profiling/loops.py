"""A function in a compiled loop on the device, timed."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from tqdm import tqdm

from experiments.profiling.parts import Part, Values, reads

Run = Callable[[], float]  #: runs something and returns the seconds that a round took

ROUNDS = 32  #: of a loop: a sample takes 1 to 50 ms
# What a part reads is mostly the same in each round; XLA would do it once, outside.
_STAY_IN_LOOP = {
    "xla_disable_hlo_passes": "while-loop-invariant-code-motion,"
    "while-loop-expensive-invariant-code-motion"
}


def compile_loop(part: Part, values: Values, varying: Values, rounds: int):
    """A part ``rounds`` times: ``run(made, given, varying, first)`` and its arguments.

    What the part makes goes from round to round, so that nothing of it is left out.

    Args:
      part: a function from values to those it makes.
      values: what it reads, the same in each round; if it also makes a value, it reads
        that of the round before.
      varying: values stacked for S rounds, which take turns.
      rounds: how often.
    """
    names = reads(part)
    varying = {name: varying[name] for name in names if name in varying}
    S = len(jax.tree.leaves(varying)[0]) if varying else 1
    given = {name: values[name] for name in names if name not in varying}
    shapes = jax.eval_shape(part, **given, **_at(varying, 0))
    made = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    made |= {n: jax.tree.map(jnp.copy, given.pop(n)) for n in made.keys() & given}

    def run(made, given, varying, first):
        def body(i, made):
            before = {name: made[name] for name in names if name in made}
            return part(**given, **before, **_at(varying, i % S))

        return jax.lax.fori_loop(first, first + rounds, body, made)

    lowered = jax.jit(run, donate_argnums=0).lower(made, given, varying, 0)
    return lowered.compile(compiler_options=_STAY_IN_LOOP), made, given, varying


def _at(stacked: Values, i) -> Values:
    return jax.tree.map(lambda x: x[i], stacked)


def loop(part: Part, values: Values, varying: Values, rounds: int = ROUNDS) -> Run:
    """:func:`compile_loop`, timed the second of two times, when caches are filled.

    Each time it goes on with the varying values that follow.
    """
    run, made, *rest = compile_loop(part, values, varying, rounds)
    first = 0

    def timed() -> float:
        nonlocal made, first
        for _ in range(2):
            start = time.perf_counter()
            made = jax.block_until_ready(run(made, *rest, first))
            first = (first + rounds) % 2**20
        return (time.perf_counter() - start) / rounds

    return timed


def interleaved(runs: dict[str, Run], repetitions: int) -> dict[str, list[float]]:
    """Seconds a round of each, in turns: what else the machine does meets all."""
    seconds = {name: [] for name in runs}
    for run in runs.values():
        run()  # the first time touches its memory
    for _ in tqdm(range(repetitions), desc="measuring", leave=False):
        for name, run in runs.items():
            seconds[name].append(run())
    return seconds
