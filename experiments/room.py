"""Memory and disk that are free. Where the system does not say, what there is at all.

Never less than a process may have: what does not fit here fits nowhere.
"""

import os
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax


def device_memory(devices: Sequence[jax.Device]) -> int | None:
    """Free memory of each device; None where they do not say, as a CPU's cores."""
    stats = [device.memory_stats() for device in devices]
    if not all(stats):
        return None
    return min(s["bytes_limit"] - s["bytes_in_use"] for s in stats)


def training_memory() -> int:
    """Free memory of each device; of the machine, if the devices are its cores."""
    return device_memory(jax.devices()) or host_memory()


def host_memory(proc: Path = Path("/proc"), cgroups: Path | None = None) -> int:
    """Anonymous memory that this process may still take.

    The least that the machine, the groups it is in (containers) and its own limits
    leave.
    """
    meminfo = _fields(proc / "meminfo", 1024)
    swap = meminfo.get("SwapFree:", 0)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    left = [meminfo.get("MemAvailable:", machine)]
    left += _left_by_cgroups(proc, cgroups or Path("/sys/fs/cgroup"))
    return min([x + swap for x in left] + _left_by_limits(proc))


def free_disk(folder: Path) -> int:
    """Free space where a folder is, or will be."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _left_by_cgroups(proc: Path, root: Path) -> list[int]:
    """What each control group above this process leaves; files it caches are free.

    Version 1 has a hierarchy for memory alone, version 2 one for all.
    """
    left = []
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        one = controllers == "memory"
        base = root / "memory" if one else root
        names = "limit_in_bytes usage_in_bytes" if one else "max current"
        limit, used = (f"memory.{name}" for name in names.split())
        cached = "total_cache" if one else "file"
        group = base / path.lstrip("/")
        # Inside a container the path may be another's; its own group is the root.
        for folder in {base, group, *group.parents}:
            values = _lines(folder / limit), _lines(folder / used)
            if all(v and v[0].isdecimal() for v in values):
                files = _fields(folder / "memory.stat").get(cached, 0)
                left.append(int(values[0][0]) - int(values[1][0]) + files)
    return left


def _left_by_limits(proc: Path) -> list[int]:
    """What limits on the address space and on private memory leave."""
    statm = _lines(proc / "self" / "statm")
    pages = [int(x) for x in statm[0].split()] if statm else [0] * 7
    page, used = os.sysconf("SC_PAGE_SIZE"), {"RLIMIT_AS": 0, "RLIMIT_DATA": 5}
    limits = {name: resource.getrlimit(getattr(resource, name))[0] for name in used}
    return [
        limits[name] - page * pages[field]
        for name, field in used.items()
        if limits[name] != resource.RLIM_INFINITY
    ]


def _fields(path: Path, unit: int = 1) -> dict[str, int]:
    """Lines of a name and a number."""
    fields = (line.split() for line in _lines(path))
    return {f[0]: unit * int(f[1]) for f in fields if len(f) > 1 and f[1].isdecimal()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
