"""The sizes of groups of 4-bit weights that OpenVINO's CPU plugin multiplies rightly."""

LARGEST_SMALL_GROUP = 32

# Larger groups are right in multiples of this: of 32 with 32-bit arithmetic, of 64 with bfloat16.
BLOCK = 64


def is_multiplied_rightly(size: int) -> bool:
    """Whether products with groups of this size are right on every CPU; -1, the whole row, is."""
    if size > LARGEST_SMALL_GROUP:
        return size % BLOCK == 0
    return size <= 0 or size % 2 == 0
