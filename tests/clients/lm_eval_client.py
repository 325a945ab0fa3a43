"""lm-eval's multiple choice over Completions, with a task of two questions that needs no download."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import MODEL, URL, report

QUESTIONS = [("The capital of France is", [" Paris", " xyzzy"], 0), ("One, two,", [" zebra", " three"], 1)]
TASK = """task: two_questions
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""


def choices() -> None:
    folder = Path(tempfile.mkdtemp())
    lines = [json.dumps(dict(zip(("question", "choices", "answer"), each, strict=True))) for each in QUESTIONS]
    (folder / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "task.yaml").write_text(TASK.format(data=folder / "data.jsonl"), encoding="utf-8")
    place = f"model={MODEL},base_url={URL}/v1/completions,tokenizer_backend=remote,num_concurrent=1,max_retries=1"
    command = [sys.executable, "-m", "lm_eval", "--model", "local-completions", "--model_args", place]
    command += ["--tasks", "two_questions", "--include_path", str(folder), "--batch_size", "1"]
    done = subprocess.run([*command, "--output_path", str(folder / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-300:]
    (results,) = (folder / "out").rglob("results*.json")
    assert json.loads(results.read_text(encoding="utf-8"))["results"]["two_questions"]["acc,none"] == 1.0


report(choices=choices)
