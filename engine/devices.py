"""The devices of this machine, and what the runtime is told for each."""

from pathlib import Path

from config import UserError
from model_folder import read_manifest

import openvino as ov

# Devices that stand for others, as in "AUTO" or "AUTO:GPU,CPU".
META_DEVICES = ("AUTO", "HETERO", "MULTI")


def available_devices() -> list[str]:
    """The devices of this machine that a model can be loaded on, "AUTO" last."""
    return [*ov.Core().available_devices, "AUTO"]


def check_device(device: str) -> None:
    """Raises a `UserError` that lists the devices where `device`, or one it stands for, is not on this machine."""
    known = available_devices()
    known_families = {name.split(".")[0] for name in known}
    meta, _, rest = device.upper().partition(":")
    wanted = rest.split(",") if rest and meta in META_DEVICES else [device.upper()]
    if not set(wanted) <= {*known, *known_families}:
        raise UserError(f"There is no device {device!r} on this machine; choose one of: {', '.join(known)}.")


def device_properties(model_dir: Path, device: str) -> dict[str, str]:
    """The runtime's properties for one conversation at a time on a device, fast."""
    properties = {"PERFORMANCE_HINT": "LATENCY"}
    precision = read_manifest(model_dir).get("gpu_precision")
    if device.upper() == "CPU":
        # A thread bound to a core waits for whatever else runs there, be it the browser, while another core is free.
        properties["ENABLE_CPU_PINNING"] = "NO"
    elif precision and device.upper().startswith(("GPU", *META_DEVICES)):
        properties["INFERENCE_PRECISION_HINT"] = precision
    return properties
