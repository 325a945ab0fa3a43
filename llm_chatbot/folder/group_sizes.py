"""The sizes of groups of 4-bit weights that OpenVINO's CPU plugin multiplies rightly."""

LARGEST_SMALL_GROUP = 32


def is_multiplied_rightly(size: int) -> bool:
    """Whether products with groups of this size are right on every CPU; -1, the whole row, is.

    Of larger groups only powers of two are right everywhere: with OpenVINO 2026.4.1, 48 and 96 are wrong with AVX2, 384
    (in bfloat16), 576, 768 and 1,152 with AMX.
    """
    if size > LARGEST_SMALL_GROUP:
        return size & (size - 1) == 0
    return size <= 0 or size % 2 == 0
