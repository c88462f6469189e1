"""`ginets publish RUN`: a trained model or adapter as a folder for its users, and with `--repo` to the Hub."""

import json as as_json
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .command import Json


EXAMPLES = """
ginets publish runs/mrpc                            # a folder; nothing leaves this machine
ginets publish runs/mrpc --repo me/mrpc-gi --private # the same, now sent
ginets publish runs/ina --fold --to llama-ina       # InA on Llama as a native model
ginets publish runs/mtlora --as-lora                # for servers that know LoRA only
"""


def main(
    run: Annotated[str, Argument(metavar="RUN", help="Folder of a trained model or adapter, or its name on the Hub.")],
    to: Annotated[
        Path | None,
        Option(
            metavar="FOLDER",
            help="New folder, or that of the same command before.",
            show_default="RUN-hub, beside RUN",
        ),
    ] = None,
    repo: Annotated[
        str | None, Option(metavar="USER/NAME", help="Also send it to this repository on the Hub.")
    ] = None,
    private: Annotated[bool, Option("--private", help="A repository that is created is private.")] = False,
    revision: Annotated[str | None, Option(metavar="BRANCH", help="Send it to this branch.")] = None,
    as_lora: Annotated[bool, Option("--as-lora", help="An adapter as plain LoRA, where that is exact.")] = False,
    fold: Annotated[bool, Option("--fold", help="InA on Llama as a native model.")] = False,
    onnx: Annotated[bool, Option("--onnx", help="An encoder also as onnx/model.onnx.")] = False,
    base_model: Annotated[
        str | None,
        Option(metavar="NAME", help="The base model on the Hub, if training began from a folder."),
    ] = None,
    license: Annotated[
        str | None, Option(metavar="NAME", help="Licence of the base.", show_default="what its card says")
    ] = None,
    json: Json = False,
) -> None:
    """Write a trained model or adapter as a folder that others can load.

    Also without ginets. Without --repo nothing leaves this machine: look at the folder, check it with `ginets verify`.
    The same command again, with --repo, sends that folder if it is still what the run gives.
    """
    if (private or revision) and not repo:
        raise ValueError("--private and --revision are for --repo; name the repository.")
    if as_lora and fold:
        raise ValueError("--as-lora and --fold exclude each other; give one of them.")
    from huggingface_hub.errors import HTTPError  # whichever client it sends with

    from ..hub.publish import check_login, publish, push

    if to is None:
        folder = Path(run).resolve()
        to = folder.with_name(f"{folder.name}-hub") if folder.is_dir() else Path(f"{folder.name}-hub")
    if repo:
        check_login()  # before the work
    files = publish(run, to, name=repo, as_lora=as_lora, fold=fold, onnx=onnx, base_model=base_model, license=license)
    sizes, address = {name: (to / name).stat().st_size for name in files}, None
    if not json:
        print("".join(f"{size:>14,}  {name}\n" for name, size in sizes.items()), end="")
    if repo:
        try:
            address = push(to, repo, private, revision)
        except (OSError, RuntimeError, HTTPError) as error:
            reason = " ".join(str(error).split())
            raise OSError(
                f"{to} is complete, sending it failed; the same command sends it again ({reason})."
            ) from error
    if json:
        print(as_json.dumps({"folder": str(to), "files": sizes, "address": address}, indent=2, ensure_ascii=False))
    else:
        print(address or f"{to}: nothing was sent; check it with `ginets verify {to}`")
