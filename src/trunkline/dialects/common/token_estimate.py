"""How many tokens a request has, roughly, where nobody who knows the tokenizer can be asked.

Today's tokenizers take four characters of English prose for a token, three of code and JSON, and one to two characters
of scripts without blanks. What an image or a page takes is a rule of each provider; the figures here are in the middle
of them. It is an estimate and is called one wherever it is shown.
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
"""A page of a PDF has some 50 kB and takes some 1,500 tokens."""
PER_AUDIO_BYTE = 1 / 2_000
PER_VIDEO = 8_000
_WORDS = re.compile(r"[A-Za-z]+|[0-9]{1,3}|[^\x00-\x7f]|[^\sA-Za-z0-9]")


def text_tokens(text: str) -> int:
    """Tokens of *text*: a word is one for each six letters begun, a mark or a letter of another script one."""
    return sum(-(-len(word) // 6) for word in _WORDS.findall(text))


def request_tokens(request: Request) -> int:
    """Tokens of all of the input of *request*: messages, tools, the shape of the answer."""
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
