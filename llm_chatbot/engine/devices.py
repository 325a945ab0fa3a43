"""The devices of this machine, and the runtime properties for each."""

from llm_chatbot.errors import UserError

# Virtual devices that select among others, as in "AUTO" or "AUTO:GPU,CPU".
META_DEVICES = ("AUTO", "HETERO", "MULTI")


def available_devices() -> list[str]:
    """The devices of this machine that a model can be loaded on, "AUTO" last."""
    import openvino as ov  # here, because the check of the CPU needs no runtime

    return [*ov.Core().available_devices, "AUTO"]


def check_device(device: str) -> None:
    """Raises a `UserError` that lists the devices if `device`, or one it selects from, is not on this machine.

    The CPU is there: the runtime isn't asked, as it would load what runs the other devices, 30 MB.
    """
    if device.upper() == "CPU":
        return
    known = available_devices()
    known_families = {name.split(".")[0] for name in known}
    meta, _, rest = device.upper().partition(":")
    wanted = rest.split(",") if rest and meta in META_DEVICES else [device.upper()]
    if not set(wanted) <= {*known, *known_families}:
        raise UserError("engine.no_device", device=repr(device), devices=", ".join(known))


def device_properties(device: str, gpu_precision: str | None = None) -> dict[str, str]:
    """Runtime properties for low latency on a device.

    Args:
        gpu_precision: OpenVINO's inference precision on a GPU; None: the device's default.
    """
    properties = {"PERFORMANCE_HINT": "LATENCY"}
    if device.upper() == "CPU":
        # A pinned thread waits for whatever else runs on its core, such as the browser, even if another core is free.
        properties["ENABLE_CPU_PINNING"] = "NO"
    elif gpu_precision and device.upper().startswith(("GPU", *META_DEVICES)):
        properties["INFERENCE_PRECISION_HINT"] = gpu_precision
    return properties
