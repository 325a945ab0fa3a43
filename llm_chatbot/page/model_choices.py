"""The models that can be chosen on the page, with what is known of each before it is loaded."""

from dataclasses import asdict, dataclass
from pathlib import Path

from llm_chatbot.answering.models import LoadedModel, ModelPool, title_of
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.engine.model import trained_context
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_models, measured_variants, precision_label
from llm_chatbot.folder.json_files import read_json
from llm_chatbot.folder.manifest import reads_images, weights_file
from llm_chatbot.folder.place import AS_IN_FILE, model_folder
from llm_chatbot.sources.gguf_files import gguf_path


@dataclass(frozen=True)
class ModelChoice:
    """A model on this machine.

    Attributes:
        title: its name and precision for people.
        name, precision: as in a `ModelKey`.
        label: the precision for people.
        size: bytes of the weights; None: not known.
        context: tokens that it was trained for; None: not known.
        tokens_per_second: of its latest answer, or else as `llm-chatbot measure` found it; None: never measured.
        loaded: whether it is in memory, on any device.
        load_seconds: how long loading it took, or is expected to take; None: not known.
        pictures: whether it reads pictures, on the CPU.
    """

    title: str
    name: str
    precision: str
    label: str
    size: int | None = None
    context: int | None = None
    tokens_per_second: float | None = None
    loaded: bool = False
    load_seconds: float | None = None
    pictures: bool = False


def model_choices(pool: ModelPool) -> list[ModelChoice]:
    """The page's own model, if it is a GGUF file, and the converted ones. Empty where none can be chosen."""
    if pool.root is None:
        return []
    own, root = pool.own, pool.root
    folders = [
        (name, precision, model_folder(name, precision, root))
        for name, precisions in converted_models(root).items()
        for precision in precisions
        if own.precision != AS_IN_FILE or (name, precision) != (own.name, own.precision)
    ]
    choices = [of_folder(name, precision, folder) for name, precision, folder in folders]
    if own.precision == AS_IN_FILE:
        choices = [of_own_file(own), *choices]
    known = pool.known()
    return [with_times(choice, known, load_rate(choices, known)) for choice in choices]


def of_folder(name: str, precision: str, folder: Path) -> ModelChoice:
    """The size and context of a converted folder, as its files say them."""
    label = precision_label(folder)
    measured = measured_variants(folder.parent).get(precision, {}).get("decode_tps")
    return ModelChoice(
        *(title_of(name, label), name, precision, label, size_of(weights_file(folder)), context_of(folder), measured),
        pictures=reads_images(folder),
    )


def of_own_file(own: LoadedModel) -> ModelChoice:
    """The GGUF file that the page was started with."""
    try:
        size = size_of(gguf_path(get_model_config(own.name)))
    except UserError:  # it is gone, which is said when it is loaded again
        size = None
    known = (title_of(own.name, own.label), own.name, own.precision, own.label, size, own.context_length)
    return ModelChoice(*known, pictures=own.images is not None)


def size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def context_of(folder: Path) -> int | None:
    """The context of a folder; None where its `config.json` is damaged, which is said when it is loaded."""
    try:
        return trained_context(read_json(folder / "config.json"))
    except UserError:
        return None


def load_rate(choices: list[ModelChoice], known: list[LoadedModel]) -> float | None:
    """Bytes of weights that this machine loaded in a second, by the slowest loading so far; None: none was timed."""
    sizes = {(choice.name, choice.precision): choice.size for choice in choices}
    timed = [(sizes.get((model.name, model.precision)), model.load_seconds) for model in known]
    return min((size / seconds for size, seconds in timed if size and seconds), default=None)


def with_times(choice: ModelChoice, known: list[LoadedModel], rate: float | None) -> ModelChoice:
    """A choice with the speeds that this page has seen."""
    models = [model for model in known if (model.name, model.precision) == (choice.name, choice.precision)]
    expected = choice.size / rate if choice.size and rate else None
    seen = {
        "tokens_per_second": next((model.tokens_per_second for model in models if model.tokens_per_second), None),
        "load_seconds": next((model.load_seconds for model in models if model.load_seconds), expected),
        "loaded": any(model.is_loaded for model in models),
    }
    return ModelChoice(**{**asdict(choice), **{name: value for name, value in seen.items() if value}})
