"""Requirements of a request: the parameters, modalities and context length that an endpoint must support.

Source: OpenRouter, "Provider routing" and "Parameters"; the names of parameters are OpenRouter's `Parameter`.
"""

from collections.abc import Iterable

from msgspec import Struct

from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    Request,
    SearchResultPart,
    VideoPart,
)

_SAMPLING = (
    "temperature", "top_p", "top_k", "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "logit_bias", "logprobs", "top_logprobs", "stop",
)  # fmt: skip
_SYNONYMS = {"max_tokens": "max_completion_tokens", "reasoning": "reasoning_effort"}
"""Two names of one parameter: an endpoint that supports either supports both."""
_MODALITIES: dict[type, str] = {ImagePart: "image", AudioPart: "audio", VideoPart: "video"}


class Requirements(Struct, frozen=True, kw_only=True):
    """What an endpoint must support. Empty values exclude no endpoint.

    `prompt_tokens` is an estimate of the prompt, `max_output` the maximum number of output tokens. `inputs` and
    `outputs` are modalities other than text. `tier` is the requested service tier: `priority`, `flex`, `default` or
    another value.
    """

    prompt_tokens: int = 0
    max_output: int | None = None
    inputs: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    tier: str | None = None
    tools: bool = False


NO_REQUIREMENTS = Requirements()


def used_parameters(request: Request) -> frozenset[str]:
    """The parameters that *request* uses."""
    said = {name for name in _SAMPLING if getattr(request.sampling, name) is not None}
    said |= {
        name
        for name, given in (
            ("tools", request.tools or None),
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


def unsupported_parameters(request: Request, parameters: frozenset[str]) -> frozenset[str]:
    """The parameters of *request* that an endpoint with *parameters* does not support. An empty set supports all."""
    if not parameters:
        return frozenset()
    return frozenset(
        name
        for name in used_parameters(request)
        if name not in parameters and _SYNONYMS.get(name, name) not in parameters
    )


def input_modalities(messages: Iterable[Message]) -> frozenset[str]:
    """The modalities other than text in *messages*."""
    found: set[str] = set()
    for message in messages:
        _collect_modalities(message.parts, found)
    return frozenset(found)


def count_images(messages: Iterable[Message]) -> int:
    """The number of images in *messages*."""
    return sum(_count_images(message.parts) for message in messages)


def _count_images(parts: Iterable[Part]) -> int:
    count = 0
    for part in parts:
        if isinstance(part, ImagePart):
            count += 1
        elif isinstance(part, (FilePart, SearchResultPart)):
            count += _count_images(part.content or ())
    return count


def _collect_modalities(parts: Iterable[Part], found: set[str]) -> None:
    for part in parts:
        if isinstance(part, FilePart):
            if part.text is None and part.content is None:  # a text document is text
                found.add("file")
            _collect_modalities(part.content or (), found)
        elif isinstance(part, SearchResultPart):
            _collect_modalities(part.content, found)
        elif (modality := _MODALITIES.get(type(part))) is not None:
            found.add(modality)


def requirements_of(request: Request, *, tokens: int, tier: str | None = None) -> Requirements:
    """The requirements of *request*; *tokens* is an estimate of its prompt."""
    return Requirements(
        prompt_tokens=tokens,
        max_output=request.max_output,
        inputs=input_modalities(request.messages),
        outputs=frozenset(request.modalities or ()) - {"text"},
        parameters=used_parameters(request),
        tier=tier,
        tools=bool(request.tools),
    )
