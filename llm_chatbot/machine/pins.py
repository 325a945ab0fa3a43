"""The package's dependencies and extras are the sections of requirements.txt, so that each version stands in one place.

Hatchling runs this when the package is built: https://hatch.pypa.io/latest/plugins/metadata-hook/custom/
"""

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# Shared with the installer, which runs where nothing is installed yet.
read_sections = runpy.run_path(str(Path(__file__).with_name("install.py")))["read_sections"]


class Pins(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        sections = read_sections((Path(self.root) / "requirements.txt").read_text(encoding="utf-8"))
        metadata["dependencies"] = sections.pop("")
        metadata["optional-dependencies"] = sections
