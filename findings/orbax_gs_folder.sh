#!/usr/bin/env bash
# orbax-checkpoint 0.12.8 takes a local folder that is named "gs:" for Google's cloud:
# it writes the "/" after it as "//" in the middle of an absolute path, and tensorstore
# refuses the result. Folders named "s3:", "file:" and "gs" are fine. Such a folder
# appears where a program that knows no cloud is given gs://bucket/run as a path.
# How: save two numbers below a folder of each name.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q jax==0.10.2 orbax-checkpoint==0.12.8 tensorstore==0.1.86
cat > show.py <<'P'
import logging
import sys
from pathlib import Path
import jax.numpy as jnp
import orbax.checkpoint as ocp

logging.disable(logging.CRITICAL)
outcomes = {}
for name in ("gs:", "s3:", "file:", "gs"):
    path = Path.cwd() / name / "run"
    path.mkdir(parents=True)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path / "1", {"a": jnp.arange(2)})
        outcomes[name] = "saved"
    except ValueError as error:
        assert "gs://run" in str(error), error
        outcomes[name] = "ValueError: Invalid file path …/gs://run/…"
    print(f"orbax-checkpoint 0.12.8, folder {name!r}: {outcomes[name]}")
saved = {name for name, what in outcomes.items() if what == "saved"}
sys.exit(saved != {"s3:", "file:", "gs"})
P
env/bin/python show.py
# Seen:
#   orbax-checkpoint 0.12.8, folder 'gs:': ValueError: Invalid file path …/gs://run/…
#   orbax-checkpoint 0.12.8, folder 's3:': saved
#   orbax-checkpoint 0.12.8, folder 'file:': saved
#   orbax-checkpoint 0.12.8, folder 'gs': saved
