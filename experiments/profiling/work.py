"""What each part of a step must do at least: bytes moved, floating-point operations.

Counted from the shapes. Bytes: every value that a part reads or makes passes once (an
id or a float32 is 4 bytes, a number that products multiply p). Operations: those of
the formula; σ(x) counts as 4 (−x, exp, 1 +, 1 /). K is in no formula: where blocks
share their noise words it is a weight.
"""

from typing import NamedTuple

from sgns_jax.config import Config


class Shapes(NamedTuple):
    """The letters of ``sgns_jax.types``, and p."""

    B: int
    C: int
    W: int
    N: int
    D: int
    p: int  #: bytes of a number that products multiply

    @property
    def R(self) -> int:
        """Words of a block: E = C + 2W tokens and N noise words."""
        return self.C + 2 * self.W + self.N

    @property
    def rows(self) -> int:
        """Rows that a step reads from the two tables, repeats counted."""
        return self.B * (self.C + self.R)

    @property
    def scores(self) -> int:
        """Scores of a step: as many values pass through σ."""
        return self.B * self.C * self.R


class Work(NamedTuple):
    """What a part does, and how much of it each ceiling is asked for."""

    bytes: int
    flops: int
    asked: dict[str, int]  #: ceiling → bytes, operations, rows, values: as it counts


PRODUCT = {2: "product_bfloat16", 4: "product_float32"}  #: p → ceiling
#: State of a row in single numbers and in D-vectors, operations for a coordinate: the
#: rate 1; Adagrad's square, sum, scale 3; Adam's two means 3 + 4, what follows 5.
_OPTIMIZERS = {"sgd": (0, 0, 1), "adagrad": (2, 0, 4), "adam": (0, 2, 13)}


def shapes_of(config: Config) -> Shapes:
    p = {"bfloat16": 2, "float32": 4}[config.product_dtype]
    B, C, W = config.blocks_per_step, config.block_size, config.window
    return Shapes(B, C, W, config.noise_words, config.dim, p)


def segment_work(num_tokens: int) -> dict[str, Work]:
    """Of a segment of T tokens.

    prepare reads a token and its probability and writes a kept token and how far its
    window reaches to either side, 20T bytes; the host reads and copies tokens, 8T.
    """
    prepare, host = 20 * num_tokens, 8 * num_tokens
    return {
        "prepare": Work(prepare, 0, {"copy_cache": prepare}),
        "host": Work(host, 0, {}),
    }


def step_work(shapes: Shapes, optimizer: str) -> dict[str, Work]:
    """Of the parts of a step; of the loss, where it is measured.

    ===========  =====================================  =====================
    part         bytes                                  operations
    ===========  =====================================  =====================
    draw         12BN: two entries of the table, an id  0
    blocks       4B(E + 2C + N) + 4B(C + R + CR)        BC(E + 1): sums, K/N·
    gather       r(4 + 4D + pD)                         0
    scores       prD + 4BCR                             2BCRD
    elementwise  8BCR + 2pBCR: S, weight; G, Gᵀ         7BCR: σ, 3 products
    G·U          pB(CR + RD) + 4BCD                     2BCRD
    Gᵀ·V         pB(CR + CD) + 4BRD                     2BCRD
    optimiser    r(4 + 8D + 8·state): rows, state       rD·(1, 4 or 13)
    scatter      r(4 + 12D): update, row; row           rD
    loss         prD + 4BCR                             2BCRD + 6BCR
    ===========  =====================================  =====================

    with E = C + 2W, R = E + N and r = B(C + R) rows.
    """
    B, C, W, N, D, p = shapes
    R, E, r, BCR = shapes.R, C + 2 * W, shapes.rows, shapes.scores
    numbers, vectors, flops = _OPTIMIZERS[optimizer]
    product = 2 * BCR * D

    def multiplies(count: int) -> Work:
        return Work(count, product, {PRODUCT[p]: product, "copy_cache": count})

    block_bytes = 4 * B * (E + 2 * C + N) + 4 * B * (C + R + C * R)
    scaled_bytes = r * (4 + 8 * D + 8 * (numbers + vectors * D))
    loss_asked = {PRODUCT[p]: product, "sigmoid": BCR}
    return {
        "draw": Work(12 * B * N, 0, {}),
        "blocks": Work(block_bytes, B * C * (E + 1), {"copy_cache": block_bytes}),
        "gather": Work(r * (4 + 4 * D + p * D), 0, {"random_rows": r}),
        "product scores": multiplies(p * r * D + 4 * BCR),
        "elementwise": Work((8 + 2 * p) * BCR, 7 * BCR, {"sigmoid": BCR}),
        "product centres": multiplies(p * B * (C * R + R * D) + 4 * B * C * D),
        "product words": multiplies(p * B * (C * R + C * D) + 4 * B * R * D),
        "optimiser": Work(scaled_bytes, r * D * flops, {"copy_cache": scaled_bytes}),
        "scatter": Work(r * (4 + 12 * D), r * D, {"random_rows": r}),
        "loss": Work(p * r * D + 4 * BCR, product + 6 * BCR, loss_asked),
    }
