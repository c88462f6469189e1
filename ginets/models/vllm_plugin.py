"""What vLLM calls in each of its processes (entry point `vllm.general_plugins`), so that it knows the families."""


def register() -> None:
    """Does nothing more: to find this function, `ginets.models` was imported, which registers. May be called again."""
