"""Whom the page asks: `ginets serve`, running elsewhere or in this process, in the same words and with the same limits."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
import numpy as np

from ..viz.attention import Attention


KEY = "GINETS_API_KEY"
CONTINUED = 32  # tokens that are written where models are compared
# head → route, and its request for a text or a pair
ROUTES = {
    "SequenceClassification": ("/v1/classify", lambda text, pair: {"inputs": {"text": text, "text_pair": pair}}),
    "TokenClassification": ("/v1/tokens", lambda text, pair: {"inputs": {"text": text, "text_pair": pair}}),
    "MaskedLM": ("/v1/fill-mask", lambda text, pair: {"inputs": {"text": text, "text_pair": pair}}),
    "QuestionAnswering": ("/v1/answer", lambda text, pair: {"question": text, "context": pair or ""}),
    "CausalLM": ("/v1/completions", lambda text, pair: {"prompt": text, "max_tokens": CONTINUED, "temperature": 0}),
}


class Refused(Exception):
    """What a user is told, in one sentence."""


@dataclass(frozen=True)
class Look:
    """What a model made of a text: its answer and its attention, all heads or one that is their mean."""

    answer: dict
    attention: Attention
    all_heads: bool


class Source:
    """A server.

    Args:
        url: where it is asked.
        transport: for httpx; None: the network.

    Attributes:
        heads: name of each model, or `MODEL:ADAPTER` → its head, in the order of the server.

    Raises:
        OSError: it does not answer, or not as `ginets serve` does.
    """

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None, heads: Mapping | None = None):
        self.url, self.transport = url.rstrip("/").removesuffix("/v1"), transport
        self.headers = {"Authorization": f"Bearer {key}"} if transport is None and (key := os.environ.get(KEY)) else {}
        self.heads: dict[str, str] = dict(heads) if heads is not None else self.ask_heads()

    def ask_heads(self) -> dict[str, str]:
        try:
            answer = httpx.get(f"{self.url}/v1/models", headers=self.headers, timeout=10)
            answer.raise_for_status()
            return {each["id"]: each["head"] for each in answer.json()["data"]}
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(f"no server at {self.url!r} ({error}); start one with `ginets serve MODEL`.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise OSError(f"the server at {self.url!r} is no `ginets serve`.") from error

    def named(self, head: str) -> list[str]:
        """The models of a head."""
        return [name for name, its in self.heads.items() if its == head]

    def client(self) -> httpx.AsyncClient:
        """One for each request: connections belong to an event loop."""
        return httpx.AsyncClient(base_url=self.url, transport=self.transport, headers=self.headers, timeout=None)

    async def post(self, path: str, body: dict) -> dict:
        """Raises `Refused`."""
        try:
            async with self.client() as client:
                answer = await client.post(path, json=body)
        except httpx.HTTPError as error:
            raise Refused("The server cannot be reached; see whether it is still running.") from error
        if answer.status_code != 200:
            raise Refused(reason(answer.content))
        return answer.json()

    async def classify(self, model: str, text: str, pair: str | None = None, truncate: bool = False) -> dict:
        body = {"model": model, "inputs": {"text": text, "text_pair": pair or None}, "truncate": truncate}
        return (await self.post("/v1/classify", body))["results"][0]

    async def answer(self, model: str, question: str, context: str, **options) -> dict:
        """`options`: `top_k`, `no_answer`, `max_answer_length`."""
        return await self.post("/v1/answer", {"model": model, "question": question, "context": context} | options)

    async def chat(self, model: str, messages: Sequence[dict], **options) -> AsyncIterator[str]:
        """The pieces of an answer. Raises `Refused`."""
        body = {"model": model, "messages": list(messages), "stream": True} | options
        try:
            async with self.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
                if answer.status_code != 200:
                    raise Refused(reason(await answer.aread()))
                async for line in answer.aiter_lines():
                    if (data := line.removeprefix("data: ")) in ("", "[DONE]"):
                        continue
                    if "error" in (event := json.loads(data)):
                        raise Refused(reason(data))
                    for choice in event["choices"]:
                        if piece := choice["delta"].get("content"):
                            yield piece
        except httpx.HTTPError as error:
            raise Refused("The server cannot be reached; see whether it is still running.") from error

    def level_of(self, model: str) -> float | None:
        """The inhibition level, where it can be changed for a look; None elsewhere."""
        return None

    async def look(self, model: str, text: str, pair: str | None = None, level: float | None = None) -> Look:
        """Raises `Refused`: the text is too long for a picture, or the level cannot be changed."""
        if level is not None:
            raise Refused("Levels can be changed where the page loads the model itself: `ginets ui MODEL`.")
        path, body = ROUTES[self.heads[model]]
        answer = await self.post(path, {"model": model, "attention": True} | body(text, pair))
        for several in ("results", "choices"):
            answer = answer[several][0] if several in answer else answer
        return Look(answer, attention_of(answer.pop("attention")), all_heads=False)


def attention_of(found: dict) -> Attention:
    """The maps of an answer; offsets are not told."""
    special = np.array(found["special"], bool)
    weights = np.array(found["layers"], np.float32)[:, None]
    return Attention(tuple(found["tokens"]), special, weights, np.zeros((len(special), 2), int), -special.astype(int))


def reason(body: bytes | str) -> str:
    """The sentence in an answer that refuses."""
    try:
        message = json.loads(body)["error"]["message"]
    except (KeyError, TypeError, ValueError):
        return "The server answered in a way that the page does not understand; its log may say more."
    return message[:1].upper() + message[1:]
