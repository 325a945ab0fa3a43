"""Switches off what libraries report of their use. The package imports this module before any of them."""

import os
import sys

# Gradio and huggingface_hub read these when they are imported. Set one beforehand to have it otherwise.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# After each event, Gradio's queue would make a table of all of them, with pandas, for a dashboard that isn't shown.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# OpenVINO and NNCF have no such variable, but both work without this package. None makes its import fail:
# https://docs.python.org/3/reference/import.html#the-module-cache
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
