"""What the devices of a mesh exchange: which collectives, how large, how often.

Arithmetic alone, as in ``plan``. ``tests/test_traffic.py`` reads the same out of the
compiled programs, where there must be nothing else.

    axis      in every step, of one device's results                  numbers
    data      gradient rows and their words, gathered                 rows·(D/m + 1)
    model     scores, added up                                        B/d·C·(E + N)
    model     what an optimiser asks of whole rows (not SGD)          rows

for ``rows`` = B·(C + E + N), d devices on ``data``, m on ``model``. Scores do not
depend on D, and no table moves. Where losses are measured their scores are added up
once more. Replicas exchange in a merge: all that training changes, and what tells how
far moves agree.
"""

from typing import NamedTuple

from sgns_jax.config import Config
from sgns_jax.plan import block_size, state_bytes
from sgns_jax.replicas import ROWS_AT_ONCE
from sgns_jax.sharding import DATA, MODEL, REPLICA, MeshShape, axis_sizes
from sgns_jax.train import segment_size

GATHER, REDUCE = "all-gather", "all-reduce"
#: How often: in a step, in one whose loss is measured, in a merge, in a round.
STEP, MEASURED, MERGE, ROUND = "step", "measured step", "merge", "round"
_NUMBER = 4  # bytes: all that is exchanged is float32 or int32


class Collective(NamedTuple):
    """An exchange among the devices of an axis."""

    what: str
    kind: str  #: ``all-gather`` or ``all-reduce``
    axis: str
    devices: int  #: that take part
    numbers: int  #: of the result, on each device
    often: str
    pieces: int = 1  #: into which it is cut, sent one after another

    @property
    def sent_bytes(self) -> float:
        """Bytes that each device sends, by the ring algorithms.

        (g−1)/g of the result to gather, twice as much to reduce (Patarasuk & Yuan
        2009, doi 10.1016/j.jpdc.2008.09.002).
        """
        trips = 2 if self.kind == REDUCE else 1
        return trips * (self.devices - 1) / self.devices * self.numbers * _NUMBER


def collectives(
    config: Config, vocabulary_size: int, num_tokens: int, mesh: MeshShape
) -> list[Collective]:
    """All that a mesh exchanges; nothing on one device.

    Args:
      config: the settings.
      vocabulary_size: V.
      num_tokens: T, length of the token stream.
      mesh: how many devices share replicas and blocks, and how many the columns.
    """
    groups, d, m = axis_sizes(mesh, config.replicas)
    V, L = vocabulary_size, config.replicas // groups
    every = []

    def add(axis, devices, often, what, kind, *numbers, pieces=1):
        if devices > 1:
            every.extend(
                Collective(what, kind, axis, devices, n, often, pieces) for n in numbers
            )

    share = -(-config.blocks_per_step // d)  # blocks of a device; some may be empty
    size = segment_size(config, num_tokens, V)
    centers, words, scores = block_size(config, size)
    rows = share * d * centers, share * d * words
    add(DATA, d, STEP, "words of rows", GATHER, *rows)
    add(DATA, d, STEP, "gradient rows", GATHER, *(n * config.dim // m for n in rows))
    add(MODEL, m, STEP, "scores", REDUCE, share * scores)
    add(MODEL, m, MEASURED, "scores of losses", REDUCE, share * scores)
    rows = (V, V) if config.updates == "dense" else rows
    whole_rows = config.optimizer == "adagrad" or (
        config.optimizer == "adam" and config.updates == "rows"
    )
    if whole_rows:
        add(MODEL, m, STEP, "sums over whole rows", REDUCE, *rows)
    length = -(-size // d) * d
    add(DATA, d, ROUND, "tokens", GATHER, L * length)
    add(DATA, d, ROUND, "losses", REDUCE, *[L] * 4)
    if config.replicas > 1:
        state = sum(state_bytes(config, V, m)) // _NUMBER
        cut = 2 * -(-V // ROWS_AT_ONCE)  # both tables
        together = state + 2 * V + 1
        add(REPLICA, groups, MERGE, "merging replicas", REDUCE, together, pieces=cut)
        add(MODEL, m, MERGE, "merging columns", REDUCE, 4 * V, pieces=cut)
        add(
            REPLICA, groups, ROUND, "losses of replicas", GATHER, *[config.replicas] * 5
        )
        if config.sync_every:
            add(REPLICA, groups, ROUND, "number of steps", REDUCE, 1)
    return every


def per_step(config: Config, one: Collective, steps: float, in_turns: int = 1) -> float:
    """How often a collective is done in a step of a device, on average.

    ``steps`` are those of a round, of one replica; ``in_turns`` replicas take turns.
    """
    merges = -(-steps // config.sync_every) if config.sync_every else 1
    all_steps = steps * in_turns
    times = {STEP: 1.0, MEASURED: 1 / config.loss_every}
    return (times | {MERGE: merges / all_steps, ROUND: 1 / all_steps})[one.often]
