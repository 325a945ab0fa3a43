"""Which 4-bit settings suit a model? Compares each with the 16-bit variant, on the 16-bit variant's own answers.

    python benchmarks/int4_settings.py [NAME]

For every setting: the size of the weights, the mean Kullback-Leibler divergence of its next-token distribution
from the 16-bit one, and how often both would take the same token, over the answers to the example questions.
The catalogue's `int4` was chosen from this table.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config import DEFAULT_MODEL, EXAMPLE_QUESTIONS, get_model_config
from conversion.pipeline import compress_folder
from converter import convert_model
from model_folder import MODEL_BIN
from ov_llm_model import load_model

import numpy as np
import torch
from transformers import AutoTokenizer

# Without these the runtime rounds activations too, and that is not what is compared here.
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


def log_probabilities(model, ids: torch.Tensor, answer_length: int) -> np.ndarray:
    """Of each next token, where the answer's tokens are predicted: float32 [answer_length, vocabulary]."""
    logits = model(input_ids=ids).logits[0, -answer_length - 1 : -1]
    return torch.log_softmax(logits, dim=-1).numpy()


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL
    config = get_model_config(name)
    questions = [*EXAMPLE_QUESTIONS[config.language], "Who wrote Hamlet?", "Is the sun a star?", "What is 3 + 4?"]
    with tempfile.TemporaryDirectory() as root:
        folder_16bit = convert_model(name, "FP16", Path(root))
        tokenizer = AutoTokenizer.from_pretrained(folder_16bit)
        model = load_model(folder_16bit, ov_config=EXACT)
        answers = []
        for question in questions:
            messages = [{"role": "user", "content": question}]
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
            ids = model.generate(**prompt, max_new_tokens=80, do_sample=False)
            length = ids.shape[1] - prompt["input_ids"].shape[1]
            answers.append((ids, length, log_probabilities(model, ids, length)))
        del model

        print(f"{'mode':<10} {'group':>5} {'ratio':>5} {'MB':>6} {'KL':>7} {'same token':>10}  capital of France?")
        for mode in ("INT4_ASYM", "INT4_SYM"):
            for group_size in (32, 64):
                for ratio in (1.0, 0.8, 0.7, 0.6):
                    folder = Path(root) / f"{mode}-{group_size}-{ratio}"
                    folder.mkdir()
                    settings = {"mode": mode, "group_size": group_size, "ratio": ratio}
                    compress_folder(folder_16bit, folder, settings)
                    size = (folder / MODEL_BIN).stat().st_size / 1e6
                    model = load_model(folder, ov_config=EXACT)
                    kl, same = [], []
                    for ids, length, expected in answers:
                        found = log_probabilities(model, ids, length)
                        kl.append((np.exp(expected) * (expected - found)).sum(-1))
                        same.append(expected.argmax(-1) == found.argmax(-1))
                    messages = [{"role": "user", "content": "What is the capital of France?"}]
                    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
                    ids = model.generate(**prompt, max_new_tokens=30, do_sample=False)
                    answer = tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :])
                    print(
                        f"{mode:<10} {group_size:>5} {ratio:>5} {size:>6.1f} {np.concatenate(kl).mean():>7.4f} "
                        f"{np.concatenate(same).mean():>10.1%}  {answer}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
