"""Estimate of the input tokens of a request, for models whose provider cannot count them.

Common tokenizers use about four characters of English prose per token, three of code and JSON, and one or two of
scripts without spaces. Each provider has its own rule for images and pages; the figures here are typical values. Every
place that shows the number calls it an estimate.
"""

import re

import msgspec

from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    SearchResultPart,
    TextPart,
    ToolCallPart,
    VideoPart,
)

PER_MESSAGE = 4
PER_IMAGE = 1_200
PER_DOCUMENT_BYTE = 1 / 30
"""A PDF page has about 50 kB and takes about 1,500 tokens."""
PER_AUDIO_BYTE = 1 / 2_000
PER_VIDEO = 8_000
_WORDS = re.compile(r"[A-Za-z]+|[0-9]{1,3}|[^\x00-\x7f]|[^\sA-Za-z0-9]")


def text_tokens(text: str) -> int:
    """Estimate the tokens of *text*: one per six letters of a word, one per punctuation mark or non-ASCII letter."""
    return sum(-(-len(word) // 6) for word in _WORDS.findall(text))


def request_tokens(request: Request) -> int:
    """Estimate the input tokens of *request*: messages, tools and response format."""
    total = sum(map(_message, request.messages))
    for tool in request.tools or ():
        total += _json(msgspec.to_builtins(tool))
    if request.response_format is not None and request.response_format.schema:
        total += _json(request.response_format.schema)
    return total


def _message(message: Message) -> int:
    return PER_MESSAGE + sum(map(_part, message.parts))


def _part(part: Part) -> int:
    match part:
        case TextPart(text=text) | RefusalPart(text=text) | ReasoningPart(text=text):
            return text_tokens(text)
        case ToolCallPart():
            return text_tokens(part.name) + text_tokens(part.arguments) + PER_MESSAGE
        case ImagePart():
            return PER_IMAGE
        case AudioPart(data=data):
            return int(len(data) * PER_AUDIO_BYTE)
        case VideoPart():
            return PER_VIDEO
        case FilePart():
            inner = sum(map(_part, part.content or ())) + text_tokens(part.text or "")
            return inner + int(len(part.data or "") * PER_DOCUMENT_BYTE)
        case SearchResultPart():
            return text_tokens(part.title) + sum(map(_part, part.content))
        case OpaquePart(body=body):
            return _json(body)


def _json(value: object) -> int:
    return text_tokens(msgspec.json.encode(value).decode())
