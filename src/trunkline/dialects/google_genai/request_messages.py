"""What was said so far, as generateContent takes it.

Turns of `user` and `model` alternate. A function's result names the function, which other dialects leave to the call's
id. A thought goes back as the signature on the part that it came on: on the call that has its id, else on an empty text
behind what was said; its readable side is not sent. Gemini 3 refuses a call of the current turn without a signature,
but takes a word that stands for one that is not there. Vertex refuses ids of calls and results, and goes by their names
and their order.

Sources: Gemini API, "Thought signatures" and "Function calling"; google-genai, "FunctionDeclaration.name", and
vercel/ai issue 15664 (ids at Vertex), read 2026-11-26; OpenRouter, "Tool calling" and "Reasoning tokens".
"""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.common.reasoning import GEMINI
from trunkline.dialects.common.tool_names import fit_name
from trunkline.dialects.common.tool_pairing import NOTHING, pair_results
from trunkline.dialects.interfaces import Quirks
from trunkline.model.loss import Losses
from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    SearchResultPart,
    TextPart,
    ToolCallPart,
    VideoPart,
)

Json: TypeAlias = dict[str, Any]

NO_WORD = "Gemini has no word for it"
ANOTHERS = "reasoning of another provider's model, which this one cannot read"
UNSIGNED = "reasoning that is not signed, which the model does not take back"
HOIST = "a system message within the conversation stands before all of it"
NO_SIGNATURE = "a call without the signature that the model wants: a word stands for it"
STAND_IN = "skip_thought_signature_validator"
"""What Gemini takes for a signature that is lost."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""What a function may be called, at AI Studio and at Vertex."""
_DATA = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*;base64,(?P<data>.*)", re.DOTALL)
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details")
AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3", "flac": "audio/flac", "ogg": "audio/ogg", "m4a": "audio/mp4",
         "aac": "audio/aac", "aiff": "audio/aiff", "pcm16": "audio/pcm"}  # fmt: skip
TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
         "pdf": "application/pdf", "txt": "text/plain", "mp4": "video/mp4", "mov": "video/quicktime",
         "webm": "video/webm", "mp3": "audio/mp3", "wav": "audio/wav"}  # fmt: skip
"""The end of an address → its media type, which Gemini wants to be told; it answers 400 to `image/*`."""
ALIASES = {"image/jpg": "image/jpeg", "audio/x-wav": "audio/wav"}
"""What clients write → what it is called."""
STARTS = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp",
          "JVBERi0": "application/pdf"}  # fmt: skip
"""How base64 begins → its media type, where nobody says it."""


def joined(namespace: str | None, name: str) -> str:
    """The name of a tool as Gemini takes it: without a namespace of its own, and not begun with a digit or a dash."""
    whole = name if namespace is None else f"{namespace}__{name}"
    if NAME.fullmatch(whole):
        return whole
    found = fit_name(whole)
    return found if NAME.fullmatch(found) else fit_name(f"_{whole}")


class Writer:
    """Writes the system instruction and the contents of one request. *wants*: the model refuses unsigned calls."""

    def __init__(self, request: Request, quirks: Quirks, losses: Losses, *, wants: bool) -> None:
        self._takes = quirks.reasoning_format or GEMINI
        self._ids = not quirks.vertex
        self._losses = losses
        self._wants = wants
        self._where = "input" if request.dialect == "responses" else "messages"
        self._names: dict[str, str] = {}
        self.system: list[Json] = []
        self.contents: list[Json] = []
        self._answers = 0
        """Results that begin the last turn, if it is the user's."""
        messages = pair_results(request.messages, losses, self._where)
        last = max((at for at, message in enumerate(messages) if message.role == "user"), default=-1)
        places = {id(message): at for at, message in enumerate(request.messages)}
        place = 0
        for at, message in enumerate(messages):
            place = places.get(id(message), place)  # what was put in counts to what it was put behind
            self._message(message, f"{self._where}[{place}]", current=at > last)
        if not self.contents or self.contents[0]["role"] == "model":
            if self.contents:
                losses.add(f"{self._where}[0]", "a conversation begins with the user: one who says nothing does")
            self.contents.insert(0, {"role": "user", "parts": [{"text": NOTHING}]})

    def _message(self, message: Message, where: str, *, current: bool) -> None:
        told = any(isinstance(part, ReasoningPart) for part in message.parts)
        self._losses.extra(where, message.extra, NO_WORD, but=(*(_THOUGHTS if told else ()), "message"))
        if message.cache is not None:
            self._losses.add(f"{where}.{message.cache.spelling}", "Gemini caches by itself")
        if message.role == "tool":
            self._answer(self._result(message, where), self._behind(message, where))
            return
        if message.role == "assistant":
            self._say("model", self._model(message.parts, where, current=current))
            return
        parts = self._parts(message.parts, where)
        if message.name is not None and parts and "text" in parts[0]:
            parts[0] = {"text": f"{message.name}: {parts[0]['text']}"}
        if message.role in ("system", "developer"):
            if self.contents:
                self._losses.add(where, HOIST)
            self.system += parts
        else:
            self._say("user", parts)

    def _say(self, role: str, parts: list[Json]) -> None:
        """*parts* were said; a turn of one role that follows another one of it is the same."""
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})
            self._answers = 0

    def _answer(self, result: Json, media: list[Json]) -> None:
        """A call was answered. The results of one turn stand together, and what else they hold behind them."""
        if not self.contents or self.contents[-1]["role"] != "user":
            self.contents.append({"role": "user", "parts": []})
            self._answers = 0
        parts: list[Json] = self.contents[-1]["parts"]
        parts.insert(self._answers, result)
        self._answers += 1
        parts += media

    def _model(self, parts: Sequence[Part], where: str, *, current: bool) -> list[Json]:
        """The model's own turn. Of parallel calls only the first one has a signature, and needs one."""
        signatures = self._signatures(parts, where)
        found: list[Json] = []
        calls = 0
        for at, part in enumerate(parts):
            place = f"{where}.content[{at}]"
            if isinstance(part, ReasoningPart):
                if self._mine(part) and part.form == "encrypted" and part.id not in signatures:
                    found.append({"text": "", "thoughtSignature": part.text})
            elif isinstance(part, ToolCallPart):
                body = self._call(part, place)
                signature = signatures.get(part.id)
                if signature is None and self._wants and current and not calls:
                    self._losses.add(f"{place}.signature", NO_SIGNATURE)
                    signature = STAND_IN
                calls += 1
                found.append(body if signature is None else {**body, "thoughtSignature": signature})
            else:
                found += self._parts((part,), where, at)
        return found

    def _mine(self, part: ReasoningPart) -> bool:
        return part.format == self._takes

    def _signatures(self, parts: Sequence[Part], where: str) -> dict[str, str]:
        """The signatures of the calls among *parts*, by their ids. What of the thoughts does not go back is a loss."""
        calls = {part.id for part in parts if isinstance(part, ToolCallPart)}
        found: dict[str, str] = {}
        signed = any(
            isinstance(part, ReasoningPart) and self._mine(part) and part.form == "encrypted" for part in parts
        )
        for at, part in enumerate(parts):
            if not isinstance(part, ReasoningPart):
                continue
            if not self._mine(part):
                why = UNSIGNED if part.form == "plain" else ANOTHERS
                if part.text or part.signature:
                    self._losses.add(f"{where}.content[{at}]", why)
            elif part.form == "encrypted" and part.id in calls:
                found.setdefault(part.id or "", part.text)
            elif part.form != "encrypted" and not signed and part.text:
                self._losses.add(f"{where}.content[{at}]", UNSIGNED)
        return found

    def _call(self, part: ToolCallPart, where: str) -> Json:
        args: Any
        try:
            args = msgspec.json.decode(part.arguments or "{}")
        except (msgspec.DecodeError, RecursionError, ValueError):
            args = None
        if part.custom or not isinstance(args, dict):
            if not part.custom:
                self._losses.add(f"{where}.arguments", "they are no JSON object: they stand in one, as text")
            args = {"input": part.arguments}
        name = joined(part.namespace, part.name)
        self._names[part.id] = name
        id_ = {"id": part.id} if self._ids else {}
        return {"functionCall": {**id_, "name": name, "args": args}}

    def _behind(self, message: Message, where: str) -> list[Json]:
        """What a function's result holds beside text."""
        others = [(at, part) for at, part in enumerate(message.parts) if not isinstance(part, TextPart | RefusalPart)]
        return [body for at, part in others for body in self._parts((part,), where, at)]

    def _result(self, message: Message, where: str) -> Json:
        """A function's result: JSON where it is an object, else text."""
        texts = [part.text for part in message.parts if isinstance(part, TextPart | RefusalPart)]
        for at, part in enumerate(message.parts):
            if isinstance(part, TextPart | RefusalPart):
                self._beside(part, f"{where}.content[{at}]")
        said: Any = "\n".join(texts)
        try:
            found = msgspec.json.decode(said) if said else None
        except (msgspec.DecodeError, RecursionError, ValueError):
            found = None
        if message.is_error:
            response: Json = {"error": found if found is not None else said}
        else:
            response = found if isinstance(found, dict) else {"output": found if found is not None else said}
        call = message.tool_call_id or ""
        id_ = {"id": call} if self._ids else {}
        return {"functionResponse": {**id_, "name": self._names.get(call, call), "response": response}}

    def _parts(self, parts: Sequence[Part], where: str, first: int = 0) -> list[Json]:
        found: list[Json] = []
        for at, part in enumerate(parts, first):
            place = f"{where}.content[{at}]"
            body = self._part(part, place)
            found += body
            if not isinstance(part, ReasoningPart):
                self._beside(part, place)
        return found

    def _beside(self, part: Part, where: str) -> None:
        extra = getattr(part, "extra", {})
        self._losses.extra(where, extra, NO_WORD, but=("index", "type"))
        mark = getattr(part, "cache", None)
        if mark is not None:
            self._losses.add(f"{where}.{mark.spelling}", "Gemini caches by itself")

    def _part(self, part: Part, where: str) -> list[Json]:
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                return [{"text": text}] if text else []
            case ImagePart(url=url, file_id=file_id):
                return self._media(url or None, file_id, where, "image/jpeg")
            case AudioPart(data=data, format=format_):
                return [{"inlineData": {"mimeType": AUDIO.get(format_, f"audio/{format_}"), "data": data}}]
            case VideoPart(url=url):
                return self._media(url, None, where, "video/mp4")
            case FilePart():
                return self._file(part, where)
            case SearchResultPart():
                texts = "\n".join(one.text for one in part.content)
                if part.citations:
                    self._losses.add(f"{where}.citations", NO_WORD)
                return [{"text": f"{part.title} ({part.source})\n{texts}"}]
            case _:
                self._losses.add(where, NO_WORD)
                return []

    def _file(self, part: FilePart, where: str) -> list[Json]:
        if part.citations:
            self._losses.add(f"{where}.citations", NO_WORD)
        title = part.title or part.filename
        heading = " ".join(said for said in (title, part.context) if said)
        if part.text is not None:
            return [{"text": f"{heading}\n{part.text}" if heading else part.text}]
        if part.content is not None:
            return [*([{"text": heading}] if heading else []), *self._parts(part.content, where)]
        found = self._media(part.data, part.file_id, where, "application/pdf")
        return [*([{"text": heading}] if part.context else []), *found]

    def _media(self, url: str | None, file_id: str | None, where: str, usual: str) -> list[Json]:
        """*url* inside the request where it holds the data, else by its address; *usual* is its type if it has none."""
        found = _DATA.fullmatch(url or "")
        if found is not None:
            data, kind = found["data"], found["type"].lower()
            if not kind or kind == "image/*":
                kind = next((kind for start, kind in STARTS.items() if data.startswith(start)), usual)
            return [{"inlineData": {"mimeType": ALIASES.get(kind, kind), "data": data}}]
        if url is None or not url.startswith(("http://", "https://", "gs://")):
            self._losses.add(where, "a file that is neither there nor at an address" if file_id is None else NO_WORD)
            return []
        end = url.partition("?")[0].rpartition(".")[2].lower()
        return [{"fileData": {"mimeType": TYPES.get(end, usual), "fileUri": url}}]
