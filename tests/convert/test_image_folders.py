"""Folders of models that read images: what is in them, and who opens them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from optimum.intel import OVModelForVisualCausalLM

from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.weight_storage import weight_storage
from llm_chatbot.folder.manifest import IMAGE_PARTS, MODEL_XML, check_complete, graph_files, reads_images
from tests import small_image_checkpoints
from tests.pictures import picture_file

ImageFolder = Callable[[str], tuple[Path, Path]]


# Of InternVL in Transformers' own form, it has no class.
@pytest.mark.parametrize("name", sorted(small_image_checkpoints.WRITERS.keys() - {"internvl"}))
def test_optimum_loads_the_folder_as_it_is(image_folder: ImageFolder, name: str):
    checkpoint, folder = image_folder(name)
    check_complete(folder)
    assert reads_images(folder) and [file.name for file in graph_files(folder)][:3] == list(IMAGE_PARTS)
    model_type = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["model_type"]
    assert OVModelForVisualCausalLM.from_pretrained(folder).config.model_type == model_type


@pytest.mark.parametrize("precision", ["INT8", "INT4"])
def test_weights_are_compressed_from_the_16_bit_folder(image_folder: ImageFolder, precision: str):
    checkpoint, fp16 = image_folder("llava")
    folder = convert_model(str(checkpoint), precision, fp16.parents[1])
    for part, of_fp16 in zip(graph_files(folder), graph_files(fp16), strict=True):
        assert part.with_suffix(".bin").stat().st_size < 0.8 * of_fp16.with_suffix(".bin").stat().st_size
    assert not weight_storage(graph_files(folder)[0]).is_16bit
    message = {"role": "user", "content": [{"type": "image", "image": picture_file(50, 40)}]}
    *_, answer = ChatSession(open_model(folder), FolderFiles(folder).tokenizer).answer([message], max_new_tokens=3)
    assert answer.completion_tokens


def test_a_checkpoint_is_compressed_without_a_16_bit_folder(image_folder: ImageFolder, tmp_path: Path):
    checkpoint, fp16 = image_folder("llava")
    folder = convert_model(str(checkpoint), "INT8", tmp_path)
    other = convert_model(str(checkpoint), "INT8", fp16.parents[1])
    sizes = [[file.with_suffix(".bin").stat().st_size for file in graph_files(each)] for each in (folder, other)]
    assert sizes[0] == sizes[1]


def test_what_reads_images_can_be_left_out(tmp_path: Path):
    checkpoint = small_image_checkpoints.write("gemma3", tmp_path / "gemma3")
    folder = convert_model(str(checkpoint), "FP16", tmp_path, text_only=True)
    assert not reads_images(folder) and [file.name for file in graph_files(folder)] == [MODEL_XML]
    assert FolderFiles(folder).images is None


def test_a_model_that_is_not_converted_without_it_says_so(image_folder: ImageFolder, tmp_path: Path):
    checkpoint, _ = image_folder("llava")
    with pytest.raises(UserError, match="--text-only"):
        convert_model(str(checkpoint), "FP16", tmp_path, text_only=True)


def test_settings_for_images_name_no_python(image_folder: ImageFolder):
    folders = image_folder("llava")
    texts = [(folder / "preprocessor_config.json").read_text(encoding="utf-8") for folder in folders]
    assert ["image_processing_evil" in text for text in texts] == [True, False]


def test_settings_in_the_processors_own_file_are_found(tmp_path: Path):
    """Where newer checkpoints have them."""
    checkpoint = small_image_checkpoints.write("mistral3", tmp_path / "mistral3")
    settings = json.loads((checkpoint / "preprocessor_config.json").read_text(encoding="utf-8"))
    (checkpoint / "preprocessor_config.json").unlink()
    whole = {"image_processor": settings, "processor_class": "PixtralProcessor"}
    (checkpoint / "processor_config.json").write_text(json.dumps(whole), encoding="utf-8")
    folder = convert_model(str(checkpoint), "FP16", tmp_path)
    written = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert written == {name: value for name, value in settings.items() if name != "auto_map"}
    assert "evil" not in (folder / "processor_config.json").read_text(encoding="utf-8")
    images = FolderFiles(folder).images
    assert images is not None and images.processor.token == "[IMG]"


def test_a_processor_that_is_not_known_is_refused_before_the_weights_are_read(tmp_path: Path):
    checkpoint = small_image_checkpoints.write("llava", tmp_path / "llava")
    path = checkpoint / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": "SiglipImageProcessor"}), encoding="utf-8")
    (checkpoint / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="SiglipImageProcessor"):
        convert_model(str(checkpoint), "FP16", tmp_path)


def test_a_checkpoint_without_its_settings_for_images_is_refused(tmp_path: Path):
    checkpoint = small_image_checkpoints.write("llava", tmp_path / "llava")
    (checkpoint / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"without preprocessor_config\.json or processor_config\.json"):
        convert_model(str(checkpoint), "FP16", tmp_path)
