"""What tells two pages apart."""

from __future__ import annotations

import hashlib

from toolkit_recipes.dbnet.annotations import LoadedPage


def fingerprint(page: LoadedPage) -> str:
    """A hash of all that a page holds."""
    found = hashlib.sha256(page.image.tobytes())
    for region in page.regions:
        found.update(region.polygon.tobytes() + f"{region.text}{region.ignore}".encode())
    return f"{page.name} {page.image.shape} {found.hexdigest()}"
