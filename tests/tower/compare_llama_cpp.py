"""Prints how far the vectors of pictures, and the logits after them, are from llama.cpp's, for each kind of tower.

    pip install llama-cpp-python
    python -m tests.tower.compare_llama_cpp

Weights are of 32 bits. A picture of another shape than the tower wants is stretched here, as by Transformers, and
padded there. There, version 0.3.36 ignores the epsilon of Qwen2-VL's norms, so it is next to nothing in these files,
and puts CLIP's vector of the whole picture last, where Transformers has it first.
"""

import ctypes
import tempfile
from itertools import groupby
from pathlib import Path

import numpy as np
from llama_cpp import llama_cpp, mtmd_cpp

from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from tests import small_image_checkpoints, small_mmproj
from tests.engine.vision.test_image_models import Small, our_logits, read, said
from tests.pictures import picture_file, random_picture

# Pictures of the shape that the tower wants, and one that isn't.
SIZES = {
    "gemma3": ((112, 112), (260, 260), (140, 90)),
    "llava": ((42, 42), (140, 90)),
    "qwen2_5_vl": ((112, 84), (168, 140), (140, 90)),
    "qwen2_vl": ((112, 84), (168, 140), (140, 90)),
    "qwen3_vl": ((128, 96), (192, 160), (140, 90)),
    "smolvlm": ((224, 224), (301, 200), (60, 130)),
}
CONTEXT = 512


class Reader:
    """A model of llama.cpp with its vision tower."""

    def __init__(self, model: Path, mmproj: Path) -> None:
        self._model = llama_cpp.llama_model_load_from_file(str(model).encode(), llama_cpp.llama_model_default_params())
        settings = mtmd_cpp.mtmd_context_params_default()
        settings.use_gpu = settings.warmup = False
        self._tower = mtmd_cpp.mtmd_init_from_file(str(mmproj).encode(), self._model, settings)
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._words = llama_cpp.llama_vocab_n_tokens(vocabulary)

    def read(self, ids: list[int], pixels: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The picture's vectors of a width, and the logits of the last token; negative ids are the picture's."""
        chunks = self._chunks(pixels)
        context = self._context()
        vectors, position, logits = [], 0, np.empty(0)
        for is_picture, group in groupby(ids, lambda id: id < 0):
            part = list(group)
            if is_picture:
                chunk, after = next(chunks), llama_cpp.llama_pos()
                assert mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk) == len(part), "another number of vectors"
                assert mtmd_cpp.mtmd_encode_chunk(self._tower, chunk) == 0
                made = mtmd_cpp.mtmd_get_output_embd(self._tower)
                vectors.append(np.ctypeslib.as_array(made, (len(part), width)).copy())
                arguments = (position, 0, CONTEXT, False, ctypes.byref(after))
                assert mtmd_cpp.mtmd_helper_eval_chunk_single(self._tower, context, chunk, *arguments) == 0
                position = after.value
                continue
            batch = llama_cpp.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for place, id in enumerate(part):
                batch.token[place], batch.pos[place], batch.n_seq_id[place] = id, position + place, 1
                batch.seq_id[place][0], batch.logits[place] = 0, place == len(part) - 1
            assert llama_cpp.llama_decode(context, batch) == 0
            position += len(part)
            last = llama_cpp.llama_get_logits_ith(context, -1)
            logits = np.ctypeslib.as_array(last, (self._words,)).copy()
        llama_cpp.llama_free(context)
        return np.concatenate(vectors), logits

    def _context(self):
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = CONTEXT
        settings.type_k = settings.type_v = settings.flash_attn_type = 0  # of 32 bits, and without
        settings.swa_full = True
        return llama_cpp.llama_init_from_model(self._model, settings)

    def _chunks(self, pixels: np.ndarray):
        """The parts of the picture that are encoded one by one."""
        height, width, _ = pixels.shape
        bitmap = mtmd_cpp.mtmd_bitmap_init(width, height, pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
        chunks, marker = mtmd_cpp.mtmd_input_chunks_init(), mtmd_cpp.mtmd_default_marker()
        text = mtmd_cpp.mtmd_input_text(marker, len(marker), False, True)
        pictures = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
        assert mtmd_cpp.mtmd_tokenize(self._tower, chunks, ctypes.byref(text), pictures, 1) == 0
        every = [mtmd_cpp.mtmd_input_chunks_get(chunks, i) for i in range(mtmd_cpp.mtmd_input_chunks_size(chunks))]
        return iter(chunk for chunk in every if mtmd_cpp.mtmd_input_chunk_get_type(chunk) == 1)


def main() -> None:
    small_mmproj.EPSILON = 1e-9
    small_mmproj.SMALL_TYPE = np.float32
    for name, sizes in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = small_image_checkpoints.write(name, Path(folder, "checkpoint"))
            path, mmproj = small_mmproj.write_pair(checkpoint, Path(folder))
            ours = Small(
                checkpoint, path, open_model(path, ov_config=EXACT, kv_cache_gb=0.01), GGUFFile(path).tokenizer
            )
            theirs = Reader(path, mmproj)
            for size in sizes:
                messages = [said("Here it is:", picture_file(*size), "What is the capital of France?")]
                ids, pictures = read(ours, messages)
                vectors, logits = theirs.read(ids, np.asarray(random_picture(*size)), pictures[0].rows.shape[1])
                far, off = np.abs(vectors - pictures[0].rows), np.abs(logits - our_logits(ours, messages)[-1])
                print(
                    f"{name:12} {size[0]} × {size[1]}: {len(vectors)} vectors of {np.abs(vectors).max():.2g}, "
                    f"largest difference {far.max():.1e}, of logits {off.max():.1e}"
                )


if __name__ == "__main__":
    main()
