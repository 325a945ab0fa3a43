"""The precisions of what is computed. Cheap to import: command lines show them."""

# Of keys and values. "auto" leaves the choice to the runtime.
KV_CACHE_PRECISIONS = ("auto", "u8", "f16")

# Properties of the runtime with which nothing is rounded but the weights. By default it rounds activations too, as the
# processor allows, and how it does so depends on what else is in a call.
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
