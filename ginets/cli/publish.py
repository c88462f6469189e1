"""`ginets publish RUN`: a trained model or adapter as a folder for its users, and with `--repo` to the Hub."""

import argparse
from pathlib import Path

from .errors import in_one_line


EPILOG = """Without --repo nothing leaves this machine: look at the folder, then check it with `ginets verify FOLDER`.

  ginets publish runs/mrpc
  ginets publish runs/mrpc --to mrpc-gi --repo me/mrpc-gi --private
  ginets publish runs/ina --fold --to llama-ina       # InA on Llama as a native model
  ginets publish runs/mtlora --as-lora                # for servers that know LoRA only
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "ginets publish",
        description="Write a trained model or adapter as a folder that others can load, also without ginets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="folder of a trained model or adapter, or its name on the Hub")
    parser.add_argument("--to", metavar="FOLDER", type=Path, help="new folder; default: RUN-hub, beside RUN")
    parser.add_argument("--repo", metavar="USER/NAME", help="also send it to this repository on the Hub")
    parser.add_argument("--private", action="store_true", help="a repository that is created is private")
    parser.add_argument("--revision", metavar="BRANCH", help="send it to this branch")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--as-lora", action="store_true", help="an adapter as plain LoRA, where that is exact")
    form.add_argument("--fold", action="store_true", help="InA on Llama as a native model")
    parser.add_argument("--onnx", action="store_true", help="an encoder also as onnx/model.onnx")
    parser.add_argument(
        "--base-model", metavar="NAME", help="the base model on the Hub, if training began from a folder"
    )
    parser.add_argument("--license", metavar="NAME", help="licence of the base; default: what its card says")
    given = parser.parse_args(arguments)
    if (given.private or given.revision) and not given.repo:
        parser.error("--private and --revision are for --repo")
    if given.to is None:
        run = Path(given.run).resolve()
        given.to = run.with_name(f"{run.name}-hub") if run.is_dir() else Path(f"{run.name}-hub")
    with in_one_line(parser):
        from ..hub.publish import check_login, publish, push

        if given.repo:
            check_login()  # before the work
        files = publish(
            given.run,
            given.to,
            name=given.repo,
            as_lora=given.as_lora,
            fold=given.fold,
            onnx=given.onnx,
            base_model=given.base_model,
            license=given.license,
        )
        for name in files:
            print(f"{(given.to / name).stat().st_size:>14,}  {name}")
        if given.repo:
            print(push(given.to, given.repo, given.private, given.revision))
        else:
            print(f"{given.to}: nothing was sent; check it with `ginets verify {given.to}`")
    return 0
