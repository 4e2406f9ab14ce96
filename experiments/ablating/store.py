"""models.json: the models measured so far; another machine's or text's are refused."""

import dataclasses

from experiments.ablating.plan import Job
from experiments.workdir import Workdir
from sgns_jax.types import InputError

NAME = "models.json"
#: What makes models comparable: one version of everything, one text, one examination.
_IDENTITY = ("commit", "device", "machine", "python")


class Store:
    """The file of a work folder, written anew with every model.

    Raises:
      InputError: at construction, if it holds models of another identity.
    """

    def __init__(self, workdir: Workdir, head: dict):
        self._workdir = workdir
        self._head = {name: head[name] for name in _IDENTITY}
        self._head |= head["versions"] | head["text"]
        self._models: list[dict] = []
        path = workdir.path(NAME)
        if not path.exists():
            return
        old = workdir.read_json(NAME)
        for name, value in self._head.items():
            if old.get(name) != value:
                raise InputError(
                    f"{path} holds models with {name} = {old.get(name)!r}, these would "
                    f"have {value!r}; give another --workdir"
                )
        self._models = old["models"]

    def find(self, job: Job) -> dict | None:
        """What is recorded of a job."""
        key = _key(job)
        return next((m for m in self._models if key.items() <= m.items()), None)

    def add(self, job: Job, record: dict) -> None:
        self._models.append(_key(job) | record)
        self._workdir.write_json(NAME, self._head | {"models": self._models})


def _key(job: Job) -> dict:
    return {"configuration": dataclasses.asdict(job.config), "rounds": job.rounds}
