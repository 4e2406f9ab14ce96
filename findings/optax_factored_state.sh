#!/usr/bin/env bash
# optax 0.2.8's tree_map_params, which is there to treat the parts of an optimiser's
# state that are like parameters as the parameters are treated, also hands over parts
# of another shape: of Adafactor the sums over rows, the sums over columns, and
# placeholders of one number. Code that slices or shards each by its parameter's rows
# does so to the columns, too, without an error.
# How: list what is handed over for one table of 200 x 150.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q jax==0.10.2 optax==0.2.8
cat > show.py <<'P'
import sys
import jax.numpy as jnp
import optax

table = jnp.zeros((200, 150))
for name, optimizer in (
    ("adam", optax.scale_by_adam()),
    ("adafactor", optax.scale_by_factored_rms()),
):
    shapes = []

    def note(part, of):
        shapes.append(part.shape)
        assert of.shape == (200, 150)
        return part

    optax.tree_map_params(optimizer, note, optimizer.init(table), table)
    print(f"optax 0.2.8, {name}: like a (200, 150) parameter: {sorted(shapes)}")
sys.exit(sorted(shapes) != [(1,), (150,), (200,)])
P
env/bin/python show.py
# Seen:
#   optax 0.2.8, adam: like a (200, 150) parameter: [(200, 150), (200, 150)]
#   optax 0.2.8, adafactor: like a (200, 150) parameter: [(1,), (150,), (200,)]
