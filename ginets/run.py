"""Runs a script with the model families of ginets registered: `python -m ginets.run SCRIPT [ARGUMENT ...]`.

The script is not changed and does not know: it sees its own `sys.argv`, `sys.path[0]` and `__file__`, it is the module
`__main__`, and its exit code is that of the command. Launchers take the module in place of the script:
`torchrun -m ginets.run SCRIPT ...`, `accelerate launch -m ginets.run SCRIPT ...`.
"""

import io
import os
import sys


USAGE = "usage: python -m ginets.run SCRIPT [ARGUMENT ...]"
SCRIPT_VARIABLE = "GINETS_RUN_SCRIPT"  # tells processes that the script spawns which script they belong to


def main(namespace: dict, arguments: list[str]):
    """Runs the script that `arguments` names, in `namespace`, the globals of `__main__`.

    Raises:
        SystemExit: 0 after `--help`, 2 when SCRIPT is missing or not a file, and whatever the script exits with.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{USAGE}\n\n{__doc__.strip()}")
        sys.exit(0)
    if not arguments:
        fail("SCRIPT is missing")
    script = arguments[0]
    if not os.path.isfile(script):
        fail(f"SCRIPT is {script!r}, which is not a file")
    sys.argv = arguments
    if not getattr(sys.flags, "safe_path", False):  # python -P puts nothing in front
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    os.environ[SCRIPT_VARIABLE] = os.path.abspath(script)
    execute(os.environ[SCRIPT_VARIABLE], namespace)


def fail(message: str):
    """Ends the process with exit code 2 and one line."""
    print(f"ginets.run: {message}; {USAGE}", file=sys.stderr)
    sys.exit(2)


def execute(script: str, namespace: dict):
    """Runs `script` (an absolute path) in `namespace`, which becomes that of the script.

    `__name__` stays, so that the script's guard works. `__spec__` stays as well: it tells multiprocessing that a
    spawned process must start with this module, which registers the families there too, and not with the bare script.
    """
    for name in namespace.keys() - {"__name__", "__spec__", "__builtins__"}:
        del namespace[name]
    namespace.update(__file__=script, __package__="", __doc__=None, __loader__=None, __cached__=None)
    with io.open_code(script) as file:
        code = compile(file.read(), script, "exec", dont_inherit=True)
    exec(code, namespace)


# The functions come from a second, ordinary copy of this module: the names of this one make room for the script's.
if __name__ == "__main__":
    from ginets import run

    run.main(globals(), sys.argv[1:])
elif __name__ == "__mp_main__":  # a spawned process of the script
    from ginets import run

    run.execute(os.environ[SCRIPT_VARIABLE], globals())
