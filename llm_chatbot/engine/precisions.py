"""The precisions that keys and values can have. Cheap to import: command lines show them."""

# "auto" leaves the choice to the runtime.
KV_CACHE_PRECISIONS = ("auto", "u8", "f16")
