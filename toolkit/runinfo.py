"""What a run is: the content of run.json, and what scripts have said about it since."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve
from attrs import field
from attrs import frozen

from toolkit.events import Described

DEFAULT_PROJECT = "default"


@frozen
class Host:
    """The machine a run lives on; only this boot of it can say whether the run is alive."""

    name: str
    boot_id: str


@frozen
class Source:
    """The code a run comes from."""

    commit: str | None = None
    branch: str | None = None
    is_dirty: bool = False
    remote: str | None = None


@frozen
class RunInfo:
    """One run, as plugins get it. ``project`` and ``name`` are None where nobody has chosen one."""

    id: str
    created: float
    """Unix seconds."""
    host: Host
    command: tuple[str, ...]
    directory: str
    """The working folder of the command."""
    user: str = ""
    parent: str | None = None
    """Id of the run this one is a child of."""
    project: str | None = None
    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    source: Source = field(factory=Source)
    versions: Mapping[str, str] = field(factory=dict)
    """Name to version of Python, the toolkit and the installed libraries that shape results."""

    def described(self, said: Described) -> RunInfo:
        """This run with what a script said about it, where nothing was fixed before it."""
        return evolve(
            self,
            project=self.project or said.project,
            name=self.name or said.name,
            group=self.group or said.group,
            notes=self.notes or said.notes,
            tags=tuple(dict.fromkeys((*self.tags, *said.tags))),
        )

    @property
    def project_name(self) -> str:
        """The chosen project, else the default one."""
        return self.project or DEFAULT_PROJECT

    @property
    def display_name(self) -> str:
        """The chosen name, else the id."""
        return self.name or self.id
