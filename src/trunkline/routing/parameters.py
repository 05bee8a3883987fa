"""What a request asks of an endpoint, by the names that `parameters` in the configuration has.

Source: openrouter-semantics §4 (12), §10; the names are OpenRouter's `Parameter`.
"""

from trunkline.model.request import Request

_SAMPLING = (
    "temperature", "top_p", "top_k", "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "logit_bias", "logprobs", "top_logprobs", "stop",
)  # fmt: skip
_ALIKE = {"max_tokens": "max_completion_tokens", "reasoning": "reasoning_effort"}
"""Two names of one thing: an endpoint that has either has it."""


def asked(request: Request) -> frozenset[str]:
    """The parameters that *request* uses."""
    said = {name for name in _SAMPLING if getattr(request.sampling, name) is not None}
    said |= {
        name
        for name, given in (
            ("tools", request.tools),
            ("tool_choice", request.tool_choice),
            ("parallel_tool_calls", request.parallel_tool_calls),
            ("max_tokens", request.max_output),
            ("reasoning", request.reasoning),
            ("response_format", request.response_format),
            ("verbosity", request.verbosity),
        )
        if given is not None
    }
    if request.response_format is not None and request.response_format.kind == "json_schema":
        said.add("structured_outputs")
    return frozenset(said)


def lacking(request: Request, parameters: frozenset[str]) -> frozenset[str]:
    """What *request* asks for and an endpoint with *parameters* does not have; an endpoint that names none has all."""
    if not parameters:
        return frozenset()
    return frozenset(
        name for name in asked(request) if name not in parameters and _ALIKE.get(name, name) not in parameters
    )
