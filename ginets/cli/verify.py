"""`ginets verify FOLDER|REPO`: a published model checked as its users will meet it; exit code 1 if anything is wrong."""

import json as as_json
from typing import Annotated

from typer import Argument, Option

from .command import Json


EXAMPLES = """
ginets verify mrpc-gi
ginets verify me/mrpc-gi --revision main --json
"""


def main(
    path: Annotated[
        str, Argument(metavar="FOLDER|REPO", help="What `ginets publish` wrote, or its repository on the Hub.")
    ],
    revision: Annotated[str | None, Option(help="Of the repository.")] = None,
    trust_remote_code: Annotated[
        bool,
        Option(
            "--trust-remote-code",
            help="Run code in it that is not, byte for byte, what this version of ginets writes; read it first.",
        ),
    ] = False,
    json: Json = False,
) -> int:
    """Check a published model, with and without ginets.

    Its files, code, weights and card; it is loaded in fresh processes. Exit code 1 if anything is wrong.
    """
    from ..hub.verify import verify

    report = verify(path, trust_remote_code, revision)
    if json:
        print(as_json.dumps({"right": report.right, "wrong": report.wrong}, indent=2, ensure_ascii=False))
    else:
        lines = [f"ok     {sentence}" for sentence in report.right] + [f"WRONG  {text}" for text in report.wrong]
        print("\n".join(lines))
    return 1 if report.wrong else 0
