"""The package's dependencies and extras are the sections of requirements.txt, so that each version stands in one place.

Hatchling runs this when the package is built: https://hatch.pypa.io/latest/plugins/metadata-hook/custom/
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# What is needed of a distribution beside itself; a file of constraints can't say it.
EXTRAS = {"ray": "[serve]"}

SECTION = re.compile(r"# extra: (\w+)\b.*")


class Pins(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        sections = read_sections((Path(self.root) / "requirements.txt").read_text(encoding="utf-8"))
        metadata["dependencies"] = sections.pop("")
        metadata["optional-dependencies"] = sections


def read_sections(text: str) -> dict[str, list[str]]:
    """The requirements of each extra; those before the first one are under the empty name."""
    sections: dict[str, list[str]] = {"": []}
    extra = ""
    for line in text.splitlines():
        if match := SECTION.fullmatch(line):
            extra = match[1]
        elif requirement := line.partition("#")[0].strip():
            name, _, pin = requirement.partition("==")
            sections.setdefault(extra, []).append(f"{name}{EXTRAS.get(name, '')}=={pin}")
    return sections
