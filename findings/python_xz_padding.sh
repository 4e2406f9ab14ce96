#!/usr/bin/env bash
# CPython 3.11's lzma module stops in silence at padding that the .xz format allows
# between two streams: four zero bytes, and the second stream is not read. A corpus
# joined by programs that align streams loses all but its first part. xz reads both.
# How: read stream, padding, stream, with the module and with xz.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
command -v xz >/dev/null || { echo "needs xz (xz-utils)"; exit 2; }
cat > show.py <<'P'
import lzma
import platform
import subprocess
import sys

part = lzma.compress(b"a")
with open("text.xz", "wb") as file:
    file.write(part + bytes(4) + part)
with lzma.open("text.xz") as file:
    ours = file.read()
xz = subprocess.run(["xz", "-dc", "text.xz"], capture_output=True, check=True).stdout
print(f"CPython {platform.python_version()}: lzma reads {ours}, xz reads {xz}")
sys.exit((ours, xz) != (b"a", b"aa"))
P
python3 show.py
# Seen:
#   CPython 3.11.7: lzma reads b'a', xz reads b'aa'
