"""Meshes: the numbers of one device on any of them, and what devices exchange."""

import numpy as np
import pytest

from sgns_jax.sharding import (
    MeshShape,
    axis_sizes,
    check_columns,
    make_mesh,
    one_to_a_replica,
    parse_mesh,
)
from sgns_jax.types import InputError
from tests.on_eight_devices import BASE, KINDS


@pytest.fixture
def trained(eight_devices):
    """``trained(kind, mesh)``: the arrays that one training ended with."""
    return lambda kind, name: dict(np.load(eight_devices / f"{kind}-{name}.npz"))


@pytest.mark.parametrize(
    "kind, mesh",
    [(kind, mesh) for kind, (_, meshes) in KINDS.items() for mesh in meshes[1:]],
)
def test_any_mesh_gives_the_vectors_of_one_device(trained, kind, mesh):
    """To the bound that ``sharding`` states: sums are added up in another order."""
    one, split = trained(kind, "1x1"), trained(kind, "{}x{}".format(*mesh))
    assert split["columns"] == BASE.dim // mesh[1]
    for name in ("step", "pairs"):
        np.testing.assert_array_equal(one[name], split[name])
    np.testing.assert_allclose(one["loss"], split["loss"], rtol=1e-5)
    for name in ("w_in", "w_out"):
        difference = np.linalg.norm(one[name] - split[name])
        assert difference < 1e-4 * np.linalg.norm(one[name])


def test_a_mesh_repeats_itself_to_the_bit(trained):
    first, again = trained("default", "2x4"), trained("default", "2x4-again")
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])


def test_settings_differ_where_meshes_do_not(trained):
    """Else the comparisons above would compare nothing."""
    seen = [trained(kind, "1x1")["w_in"] for kind in KINDS]
    for i, one in enumerate(seen):
        apart = [np.linalg.norm(one - other) for other in seen[:i]]
        assert all(distance > 0.01 * np.linalg.norm(one) for distance in apart)


def test_columns_that_cannot_be_shared_evenly_are_refused():
    check_columns(100, 4)
    for dim, m, words in ((100, 8, "give dim = 96 or 104"), (3, 8, "give dim = 8,")):
        with pytest.raises(InputError, match=words):
            check_columns(dim, m)


def test_replicas_are_shared_before_blocks():
    shapes = {
        (1, 8): (1, 8, 3),
        (2, 8): (2, 4, 3),
        (8, 8): (8, 1, 3),
        (6, 4): (2, 2, 3),
    }
    for (replicas, data), want in shapes.items():
        assert axis_sizes(MeshShape(data, 3), replicas) == want
    sizes = [one_to_a_replica(n, 6).data for n in (1, 2, 6, 7, 8, 9, 12)]
    assert sizes == [1, 2, 6, 1, 4, 3, 6]


def test_neighbours_share_columns():
    mesh = make_mesh(MeshShape(4, 2), 2, list("abcdefgh"))
    assert mesh.devices.shape == (2, 2, 2)
    assert "".join(mesh.devices.ravel()) == "abcdefgh"
    assert mesh.devices[0, 1].tolist() == ["c", "d"]
    with pytest.raises(InputError, match="takes 8 devices, there are 2"):
        make_mesh(MeshShape(4, 2), 1)


def test_a_mesh_is_read_as_it_is_written():
    for shape in MeshShape(2, 4), MeshShape(1, 1):
        assert parse_mesh(str(shape)) == shape
    assert parse_mesh("model:3") == MeshShape(1, 3)
    for wrong in ("", "2x4", "data:0", "data:-1", "data:2,rows:2", "data:1,data:2"):
        with pytest.raises(InputError, match="like data:2,model:4"):
            parse_mesh(wrong)
