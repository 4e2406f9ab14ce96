"""What a training takes: bytes on a device, on its host and on disk.

Arithmetic alone: nothing is allocated, compiled or read, and the devices need not be
there. Sizes of the state are those of its own shapes; what XLA takes beside it follows
the programs it makes for CPUs, see ``tests/test_plan.py`` for how near they are.
"""

import math
from functools import partial
from typing import NamedTuple

import jax

from sgns_jax.config import Config
from sgns_jax.sharding import MeshShape, axis_sizes, one_to_a_replica
from sgns_jax.step import reach
from sgns_jax.train import init_state, segment_size

_NUMBER = 4  # bytes of a float32 or int32
#: Arrays as long as a segment that subsampling and windows take, all at once.
_SEGMENT_ARRAYS = 14
#: Arrays as long as a table that drawing its first vectors takes.
_DRAWING_ARRAYS = 3
_SAMPLING_ARRAYS = 3  #: of V numbers: keep probability, the noise's two

#: Measured: Python, JAX and what XLA's compiler leaves behind; a text being read.
_PROGRAM, _READER = 330 * 10**6, 80 * 10**6
_WORD = 200  #: a word as a string with its place, or with the noise's Python numbers
_SPILLED_WORD = 28  #: a word of eight letters on disk, its count, number and place
_TEXT_NUMBER = 12  #: characters of a number in vectors.txt, measured


class DeviceBytes(NamedTuple):
    """The memory of one device."""

    tables: int  #: v and u
    optimizer: int
    start: int  #: beside both, while the first vectors are drawn
    training: int  #: beside both, while a round is trained
    read: int  #: of ``training``, the rows that a step reads, and their scores
    least: int  #: of all that no compiler can do without

    @property
    def total(self) -> int:
        """The most at once."""
        return self.tables + self.optimizer + max(self.start, self.training)


def device_bytes(
    config: Config, vocabulary_size: int, num_tokens: int, mesh: MeshShape
) -> DeviceBytes:
    """What each device of a mesh holds.

    Args:
      config: the settings.
      vocabulary_size: V.
      num_tokens: T, length of the token stream.
      mesh: how many devices share replicas and blocks, and how many the columns.
    """
    groups, sharing, columns = axis_sizes(mesh, config.replicas)
    V, L = vocabulary_size, config.replicas // groups
    tables, optimizer = state_bytes(config, V, columns)
    size = segment_size(config, num_tokens, V)
    segment = _NUMBER * size
    sampling = _NUMBER * _SAMPLING_ARRAYS * V
    # A merge reads what was before: the tables, or whole states where replicas of one
    # device take turns, and one more to train.
    state = tables + optimizer
    before = L * state if L > 1 else tables * (config.replicas > 1)
    copies = before + state * (L > 1)
    windows = 3 * segment  # words, and how far they see to either side
    windows *= L if config.sync_every else 1  # of all that are merged within a segment
    step, read = _step_bytes(config, size, sharing, columns)
    working = max(_SEGMENT_ARRAYS * segment, windows + step)
    held = sampling + L * segment
    return DeviceBytes(
        tables,
        optimizer,
        start=_DRAWING_ARRAYS * tables // 2,  # one table at a time
        training=held + copies + working,
        read=read,
        least=state + held + before + read,
    )


def state_bytes(
    config: Config, vocabulary_size: int, columns: int = 1
) -> tuple[int, int]:
    """Sizes of the two tables, and of what the optimiser keeps.

    ``columns``: of a device's share, where so many split the columns.
    """
    init = partial(init_state, config, vocabulary_size)
    state = jax.eval_shape(lambda: init(jax.random.key(0)))
    return _size(state.params, columns), _size(state.opt_state, columns)


def _size(tree, columns: int) -> int:
    def share(leaf):
        numbers = math.prod(leaf.shape) // (columns if leaf.ndim == 2 else 1)
        return numbers * leaf.dtype.itemsize

    return sum(map(share, jax.tree.leaves(tree)))


def choose_mesh(
    config: Config,
    vocabulary_size: int,
    num_tokens: int,
    devices: int,
    free: int | None,
    cores: bool,
) -> tuple[MeshShape, str]:
    """The mesh that a run takes if it is not told, and the reason.

    Args:
      config, vocabulary_size, num_tokens: as for :func:`device_bytes`.
      devices: how many there are.
      free: memory of each in bytes; None: they do not say.
      cores: are they the cores of one machine? They gain nothing from sharing blocks.
    """
    if cores:
        return one_to_a_replica(config.replicas, devices), "a core for each replica"
    fits = None
    for columns in _divisors(devices):
        mesh = MeshShape(devices // columns, columns)
        if config.dim % columns == 0:
            fits = mesh
            plan = device_bytes(config, vocabulary_size, num_tokens, mesh)
            if free is None or plan.total <= free:
                break
    if fits.model == 1:
        return fits, "both tables fit on one device, so all share the text"
    return fits, "both tables do not fit on one device, so some share the columns"


def devices_needed(
    config: Config, vocabulary_size: int, num_tokens: int, free: int
) -> int | None:
    """The fewest devices that hold a run, if each has ``free`` bytes.

    They split the columns, for copies save nothing; None: not even a column a device.
    """
    for columns in _divisors(config.dim):
        mesh = MeshShape(1, columns)
        if device_bytes(config, vocabulary_size, num_tokens, mesh).total <= free:
            return columns
    return None


def _divisors(n: int) -> list[int]:
    small = [m for m in range(1, math.isqrt(n) + 1) if n % m == 0]
    return sorted({*small, *(n // m for m in small)})


class BlockSize(NamedTuple):
    """What a block reads and computes."""

    centers: int  #: rows of v
    words: int  #: rows of u: words around the centres, and noise
    scores: int


def block_size(config: Config, segment: int) -> BlockSize:
    """Of C centres, in a segment of so many tokens."""
    C, W = config.block_size, reach(config, segment)
    if config.negatives_mode == "shared":
        words = C + 2 * W + config.noise_words
        return BlockSize(C, words, C * words)
    words = C * (1 + 2 * W + 2 * W * config.negatives)  # each centre has its own
    return BlockSize(C, words, words)


def _step_bytes(
    config: Config, segment: int, sharing: int, columns: int
) -> tuple[int, int]:
    """What a step takes; of that, what it reads: the rows of its blocks, and scores.

    Rows, the gradient by them, and Adam's own rows. Where devices share the blocks,
    each is given the gradient of all of them.
    """
    B, block = config.blocks_per_step, block_size(config, segment)
    numbers = B * (block.centers + block.words) * config.dim / columns
    arrays = 2 / sharing + (sharing > 1) + 3 * (config.optimizer == "adam")
    width = 2 if config.product_dtype == "bfloat16" else _NUMBER
    scores = _NUMBER * B * block.scores / sharing
    read = width * numbers / sharing + scores
    return round(arrays * _NUMBER * numbers + scores), round(read)


class HostBytes(NamedTuple):
    """Anonymous memory of the host. The encoded text is mapped and takes none."""

    program: int  #: Python, JAX and its compiler
    text: int  #: words, and the reader if the text is not yet encoded
    start: int  #: of devices that are the host's cores, while the state is made
    training: int  #: theirs while training, and a checkpoint on its way to disk

    @property
    def total(self) -> int:
        """The most at once. For the export (V·D numbers) training has left by then."""
        return self.program + self.text + max(self.start, self.training)


def host_bytes(
    vocabulary_size: int,
    distinct_words: int,
    device: DeviceBytes,
    cores: int,
    shares: int = 1,
) -> HostBytes:
    """The host's share.

    Args:
      vocabulary_size: V.
      distinct_words: that the reader of the text has in memory at once; 0: it is
        encoded already.
      device: what a device takes.
      cores: how many devices are cores of the host.
      shares: of the columns, that its devices hold: a checkpoint has all of them.
    """
    text = _WORD * (vocabulary_size + distinct_words)
    state = device.tables + device.optimizer
    return HostBytes(
        _PROGRAM,
        text + _READER * (distinct_words > 0),
        start=cores * (state + device.start),
        training=cores * (state + device.training) + shares * state,
    )


class DiskBytes(NamedTuple):
    """What a run writes into its folder."""

    tokens: int  #: the encoded text, if it is not there yet
    scratch: int  #: beside it while encoding
    checkpoints: int  #: those that are kept, and the next one
    vectors: int  #: vectors.txt
    least: int  #: of all that no run can do without

    @property
    def total(self) -> int:
        """The most at once."""
        return self.tokens + max(self.scratch, self.checkpoints + self.vectors)


def disk_bytes(
    config: Config,
    vocabulary_size: int,
    num_tokens: int,
    tokens_read: int,
    spilled_words: int,
    keep_checkpoints: int,
) -> DiskBytes:
    """The run's files; those of a few megabytes are left out.

    Args:
      config: the settings.
      vocabulary_size: V.
      num_tokens: T.
      tokens_read: words and sentence ends of the text that is to be read; 0: it is
        encoded already.
      spilled_words: those that its reader puts on disk.
      keep_checkpoints: how many stay on disk.
    """
    numbers = vocabulary_size * config.dim
    state = sum(state_bytes(config, vocabulary_size))
    tokens = _NUMBER * num_tokens * (tokens_read > 0)
    return DiskBytes(
        tokens,
        scratch=_NUMBER * tokens_read + _SPILLED_WORD * spilled_words,
        checkpoints=(keep_checkpoints + 1) * state,
        vectors=_TEXT_NUMBER * numbers,
        # The last checkpoint is there when vectors.txt is written. Few numbers in it
        # have less than six digits, a point and a space.
        least=tokens + state + 8 * numbers,
    )
