#!/usr/bin/env bash
# tensorstore 0.1.86 never frees what it answers as JSON: a KvStore.Spec.to_json()
# leaves over a hundred bytes behind, for good. Orbax asks such questions in every save,
# so that a training which writes checkpoints for weeks grows.
# How: call it 40,000 times after a warm-up, beside a call that gives no JSON.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q tensorstore==0.1.86
cat > show.py <<'P'
import sys
import tensorstore


def resident():  # bytes; Linux
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def grown(call, times=40_000):
    for _ in range(2000):
        call()
    before = resident()
    for _ in range(times):
        call()
    return (resident() - before) / times


spec = tensorstore.KvStore.Spec("memory://")
json, plain = grown(spec.to_json), grown(spec.copy)
print(f"tensorstore 0.1.86: {json:.0f} bytes a to_json(), {plain:.0f} a copy()")
sys.exit(not (json > 100 and plain < 10))
P
env/bin/python show.py
# Seen:
#   tensorstore 0.1.86: 129 bytes a to_json(), 0 a copy()
