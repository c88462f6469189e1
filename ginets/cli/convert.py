"""`ginets convert SRC DST`: an InA adapter of the original code to ours."""

import argparse

from .errors import in_one_line


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "ginets convert", description="Read an InA adapter in the format of the original code, write it in ours."
    )
    parser.add_argument("src", metavar="SRC", help="its folder: adapter_config.json, adapter_model.safetensors")
    parser.add_argument("dst", metavar="DST", help="new folder")
    parser.add_argument(
        "--inhibition_level", type=float, help="in place of the lora_inhibition that the file has, or has not"
    )
    parser.add_argument("--activation", default="leaky_relu", help="leaky_relu (default), gelu or none")
    given = parser.parse_args(arguments)
    with in_one_line(parser):
        from .. import convert_adapter

        config = convert_adapter(given.src, given.dst, given.inhibition_level, given.activation)
    print(f"{given.dst}: InA of rank {config.r}, inhibition_level {config.inhibition_level}")
    return 0
