"""Never imported: its name is refused before that."""

raise RuntimeError("imported, although its name is claimed twice")
