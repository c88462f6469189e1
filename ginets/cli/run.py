"""`ginets run SCRIPT`: start `python -m ginets.run SCRIPT` in place of this process."""

import os
import sys


def main(arguments: list[str]):
    os.execv(sys.executable, [sys.executable, "-m", "ginets.run", *arguments])
