"""Tags of models' names, "name:tag"."""

DEFAULT_TAG = "latest"  # which Ollama's clients may add to a name without one


def untagged(name: str) -> str:
    """A model's name without Ollama's default tag."""
    return name.removesuffix(f":{DEFAULT_TAG}")
