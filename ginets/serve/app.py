"""The application: routes of the encoders, state and figures; `openai.py` adds those of language models."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from . import schemas
from .batcher import Job
from .guard import Guard, error_response
from .limits import LOOPBACK, RequestError
from .openai import add_openai
from .service import Service


logger = logging.getLogger(__name__)

KINDS = ("body", "str", schemas.Pair.__name__)  # in the place of an error: no fields
STATUSES = (400, 401, 404, 408, 413, 422, 429, 500, 503, 504)
ERRORS = {status: {"model": schemas.ErrorBody} for status in STATUSES}
DESCRIPTION = "Models of ginets and transformers over HTTP. Errors have the form of OpenAI's API."


def create_app(service: Service, hosts: Iterable[str] = LOOPBACK, key: str | None = None) -> FastAPI:
    """Args: see `Guard`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(warm_up(service))
        yield
        warming.cancel()
        service.close()

    app = FastAPI(
        title="ginets", version=version("ginets"), description=DESCRIPTION, lifespan=lifespan, responses=ERRORS,
        redoc_url=None,
    )  # fmt: skip
    app.state.service = service
    add_handlers(app)
    add_state(app, service)
    add_encoders(app, service)
    add_openai(app, service)
    paths = {*app.openapi()["paths"], "/docs", "/openapi.json"}
    app.add_middleware(Guard, service=service, hosts=(*hosts,), key=key, paths=paths)
    return app


async def warm_up(service: Service) -> None:
    """Ready once every model has answered something."""
    try:
        for name, model in service.models.items():
            await asyncio.get_running_loop().run_in_executor(service.batchers[name].thread, model.warm_up)
    except Exception:  # whatever it is: this task has no caller to raise to, and /ready goes on saying 503
        logger.exception("a model failed in its warm-up; the server will not get ready")
        return
    service.ready = True
    logger.info("ready", extra={"fields": {"models": service.names()}})


def add_handlers(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        response = error_response(RequestError(error.status_code, str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        """What is wrong, and where, without what was sent."""
        field, found = worst(error.errors())
        return error_response(RequestError(422, f"{field or 'body'}: {found['msg']}", found["type"], field or None))


def worst(errors: Sequence[dict]) -> tuple[str, dict]:
    """The field at fault and pydantic's word on it.

    Where a field may be of several kinds there is an error for each of them: the one of the kind that was meant goes
    deepest, or finds fault with more than the kind.
    """
    paths = [[part for part in error["loc"] if part not in KINDS and "[" not in str(part)] for error in errors]
    at = max(range(len(errors)), key=lambda at: (len(paths[at]), not errors[at]["type"].endswith("_type")))
    field = ".".join(str(part)[:60] for part in paths[at])
    return field.encode("utf-8", "replace").decode(), errors[at]


def add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health", tags=["state"])
    async def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/ready", tags=["state"])
    async def ready() -> dict[str, str]:
        """Whether requests should be sent here: not before the warm-up, not once the server is about to end."""
        if service.draining or not service.ready:
            raise RequestError(503, "draining" if service.draining else "warming up", "not_ready")
        return {"status": "ready"}

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.figures(), media_type="text/plain; version=0.0.4; charset=utf-8")


def add_encoders(app: FastAPI, service: Service) -> None:
    async def each(request: Request, asked: schemas.TextsRequest, head: str, **options) -> dict:
        """One row for each text; they meet those of other requests in batches."""
        served, adapter = service.find(asked.model, head)
        several = isinstance(asked.inputs, list)
        inputs = asked.inputs if several else [asked.inputs]
        if len(inputs) > service.limits.inputs:
            message = f"inputs has {len(inputs)} texts; at most {service.limits.inputs} are taken."
            raise RequestError(400, message, "too_many_inputs", "inputs")
        texts = [(one, None) if isinstance(one, str) else (one.text, one.text_pair) for one in inputs]
        async with service.in_time():
            rows = [
                await service.read(served, served.read, *pair, asked.truncate, adapter, f"inputs[{at}]" if several else "inputs", **options)
                for at, pair in enumerate(texts)
            ]  # fmt: skip
            note(request, served.name, adapter, sum(row.length for row in rows), texts)
            maps = await service.attention(served, texts, adapter) if asked.attention else None
            jobs = [Job(served.run, row, served.key(adapter), 1, row.length) for row in rows]
            results = await service.run(served, jobs)
        if maps:
            results = [result | {"attention": found} for result, found in zip(results, maps, strict=True)]
        return {"model": name_of(asked, served), "results": results}

    def note(request: Request, model: str, adapter: str | None, tokens: int, texts: object) -> None:
        request.state.fields |= {"model": model, "adapter": adapter, "tokens": tokens}
        service.metrics.tokens.labels(model, "read").inc(tokens)
        if service.log_texts:
            request.state.fields["texts"] = texts

    @app.post("/v1/classify", tags=["encoders"])
    async def classify(request: Request, asked: schemas.TextsRequest) -> schemas.Labels:
        """The label of a text or a pair of texts, with the scores of all labels."""
        return await each(request, asked, "SequenceClassification")

    @app.post("/v1/tokens", tags=["encoders"])
    async def tokens(request: Request, asked: schemas.TextsRequest) -> schemas.EntityLists:
        """Labelled words, such as names."""
        return await each(request, asked, "TokenClassification")

    @app.post("/v1/fill-mask", tags=["encoders"])
    async def fill_mask(request: Request, asked: schemas.FillRequest) -> schemas.FillLists:
        """The likeliest words in place of the mask token."""
        return await each(request, asked, "MaskedLM", top_k=asked.top_k)

    @app.post("/v1/answer", tags=["encoders"])
    async def answer(request: Request, asked: schemas.AnswerRequest) -> schemas.Answer:
        """The piece of a context, of any length up to the limit, that answers a question."""
        served, adapter = service.find(asked.model, "QuestionAnswering")
        async with service.in_time():
            await service.read(served, served.check, asked.question, asked.context)
            question = await service.read(
                served, served.read, asked.question, asked.context, adapter,
                max_answer_length=asked.max_answer_length, no_answer=asked.no_answer,
            )  # fmt: skip
            lengths = [row.length for row in question.rows]
            note(request, served.name, adapter, sum(lengths), (asked.question, asked.context))
            texts = [(asked.question, asked.context)]
            maps = await service.attention(served, texts, adapter) if asked.attention else [None]
            job = Job(served.run, question, served.key(adapter), len(lengths), max(lengths))
            (found,) = await service.run(served, [job])
        found["alternatives"] = found["alternatives"][: asked.top_k - 1]
        return found | {"model": name_of(asked, served), "attention": maps[0]}


def name_of(asked: schemas.Request, served) -> str:
    return asked.model or served.name
