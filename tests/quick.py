"""Compilation in a fifth of the time, of programs that run slower.

For tests that ask what reaches a program, what its mean is over draws, or what a
command does around it. Those that compare its numbers to rounding take the compiler as
users have it.
"""

import os

import jax
import pytest
from jax._src import compiler

#: XLA's older way to write a fusion's code. Should it be gone one day, drop this.
_OLDER = {"xla_cpu_use_fusion_emitters": False}
_FLAGS = " ".join(f"--{name}={value}" for name, value in _OLDER.items())
#: Of a process that is started. LLVM optimises little, too.
ENVIRONMENT = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {_FLAGS}".strip(),
}


def from_here_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which has read its flags, and in those that it starts.

    JAX takes such an option for one ``jit`` at a time; this is where all of them pass.
    """
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    made = compiler.get_compile_options

    def with_older(*given, env_options_overrides=None, **named):
        options = _OLDER | (env_options_overrides or {})
        return made(*given, env_options_overrides=options, **named)

    monkeypatch.setattr(compiler, "get_compile_options", with_older)
    jax.config.update("jax_disable_most_optimizations", True)
