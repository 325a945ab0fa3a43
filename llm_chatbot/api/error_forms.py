"""The faults of a request, in the form that each protocol's clients read.

- OpenAI: https://platform.openai.com/docs/guides/error-codes
- Anthropic: https://docs.anthropic.com/en/api/errors
- Ollama: https://docs.ollama.com/api/errors
"""

from typing import Any

OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def error_body(
    message: str, status: int, param: str | None = None, code: str | None = None, path: str = ""
) -> dict[str, Any]:
    """The body of a response that says what is wrong.

    Args:
        message: a sentence.
        status: of the HTTP response.
        param: the field of the request that is to blame.
        code: the reason, for programs.
        path: of the request, which tells the protocol; OpenAI's if no other has it.
    """
    if path.startswith("/v1/messages"):
        kind = ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    if path.startswith("/api/"):
        return {"error": message}
    kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
