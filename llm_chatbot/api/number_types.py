"""The types of numbers in requests: `true` and `false` are none, though pydantic reads them as 1 and 0.

Bounds stand before the check here: behind it, the schema of an optional field has them by names that JSON Schema lacks.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticKnownError

NO_LIMIT = -1  # as `max_tokens`, in llama.cpp's and LM Studio's words


def _no_bool(fault: Literal["int_type", "float_type"]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, bool):
            raise PydanticKnownError(fault)
        return value

    return BeforeValidator(check)


_NO_BOOL = _no_bool("int_type")

Number = Annotated[float, _no_bool("float_type")]
Integer = Annotated[int, _NO_BOOL]
Count = Annotated[int, Field(ge=0), _NO_BOOL]
PositiveInteger = Annotated[int, Field(ge=1), _NO_BOOL]
TokenLimit = Annotated[int, Field(ge=NO_LIMIT), _NO_BOOL]
NumLogprobs = Annotated[int, Field(ge=0, le=20), _NO_BOOL]

TokenId = Annotated[int, Field(ge=0, lt=2**31), _NO_BOOL]
TokenIds = Annotated[list[TokenId], Field(min_length=1)]
Bias = Annotated[float, Field(ge=-100, le=100), _no_bool("float_type")]
