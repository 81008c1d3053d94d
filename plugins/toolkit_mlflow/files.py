"""A run's artifacts in MLflow: put there under the name they should have, and read back."""

from __future__ import annotations

import posixpath
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from mlflow import MlflowClient


@frozen
class Files:
    """The artifacts of one run; what is put under a name replaces what was there."""

    client: MlflowClient
    run_id: str

    def put(self, source: Path, name: str) -> None:
        """Upload the file as ``name``, a path with ``/`` inside the run's artifacts.

        Raises:
            FileNotFoundError: the file is not there.
        """
        folder, base = posixpath.split(name)
        source.stat()  # a missing file is reported by its own name, not by that of the link below
        with tempfile.TemporaryDirectory(prefix="toolkit-") as scratch:
            link = Path(scratch, base)  # MLflow names an artifact after the file that it is given
            link.symlink_to(source.absolute())
            self.client.log_artifact(self.run_id, str(link), folder or None)

    def put_text(self, text: str, name: str) -> None:
        """Upload the text, in UTF-8, as a file."""
        self.put_bytes(text.encode("utf-8", "replace"), name)

    def put_bytes(self, content: bytes, name: str) -> None:
        """Upload the content as a file."""
        with tempfile.TemporaryDirectory(prefix="toolkit-") as scratch:
            source = Path(scratch, "content")
            source.write_bytes(content)
            self.put(source, name)

    def text(self, name: str) -> str | None:
        """What the text file holds; None when there is none."""
        folder = posixpath.dirname(name) or None
        if all(entry.path != name for entry in self.client.list_artifacts(self.run_id, folder)):
            return None
        with tempfile.TemporaryDirectory(prefix="toolkit-") as scratch:
            copy = self.client.download_artifacts(self.run_id, name, scratch)
            return Path(copy).read_bytes().decode("utf-8", "replace")
