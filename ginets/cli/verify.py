"""`ginets verify FOLDER|REPO`: a published model checked as its users will meet it; exit code 1 if anything is wrong."""

import argparse

from .errors import in_one_line


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "ginets verify",
        description="Check the files, code, weights and card of a published model, and load it with and without ginets.",
    )
    parser.add_argument(
        "path", metavar="FOLDER|REPO", help="what `ginets publish` wrote, or its repository on the Hub"
    )
    parser.add_argument("--revision", help="of the repository")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run code in it that is not, byte for byte, what this version of ginets writes; read it first",
    )
    given = parser.parse_args(arguments)
    with in_one_line(parser):
        from ..hub.verify import verify

        report = verify(given.path, given.trust_remote_code, given.revision)
    for sentence in report.right:
        print(f"ok     {sentence}")
    for sentence in report.wrong:
        print(f"WRONG  {sentence}")
    return 1 if report.wrong else 0
