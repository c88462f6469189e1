"""What runs in Java: the tokeniser of the COCO caption scripts, from the jar in pycocoevalcap."""

import shutil
import subprocess
from pathlib import Path

from ...extras import require


class Unavailable(RuntimeError):
    """A metric cannot be computed here; the message says what is missing."""


def java() -> str:
    """The Java runtime on the path."""
    if (found := shutil.which("java")) is None:
        raise Unavailable("needs a Java runtime (Debian: apt-get install default-jre-headless)")
    return found


def coco_words(texts: list[str]) -> list[str]:
    """Stanford's PTB words, lower-cased, without punctuation: what the COCO scripts, and so E2E's, compare.

    The texts go through the jar's standard input: pycocoevalcap's own wrapper would write a file beside the jar.
    """
    runtime, module = java(), require("pycocoevalcap.tokenizer.ptbtokenizer", extra="nlg")
    jar = Path(module.__file__).with_name(module.STANFORD_CORENLP_3_4_1_JAR)
    command = [runtime, "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    run = subprocess.run(command, input="".join(f"{text}\n" for text in texts), capture_output=True, encoding="utf-8")
    lines = run.stdout.split("\n")[:-1]
    if run.returncode or len(lines) != len(texts):
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"Java's tokeniser gave {len(lines)} lines for {len(texts)} ({last})")
    return [" ".join(word for word in line.rstrip().split(" ") if word not in module.PUNCTUATIONS) for line in lines]
