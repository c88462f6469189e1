"""Config and classification head, settled from the config alone: a mismatch stops before weights are read."""

import logging
from dataclasses import dataclass

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..data.glue import Examples
from ..models.auto import FAMILIES
from ..models.doors import convert_config, written_flags
from .arguments import ArgumentsError, GateArguments, ModelArguments


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """A kind of head: its Auto class, PEFT's name of its task (None: no wrapper for the task), and the Hub's.

    `train_base`: whether a model with gates or branches, and without adapter, is trained whole if nobody says so.
    """

    auto: type
    peft_task: str | None
    hub_task: str
    train_base: bool = True

    def is_trained(self, config: PreTrainedConfig) -> bool:
        """Whether the checkpoint of `config` has such a head."""
        ending = self.auto.__name__.removeprefix("AutoModel")
        return any(name.endswith(ending) for name in config.architectures or [])


CLASSIFICATION = Head(AutoModelForSequenceClassification, "SEQ_CLS", "text-classification")
CAUSAL_LM = Head(AutoModelForCausalLM, "CAUSAL_LM", "text-generation", train_base=False)
# PEFT's wrapper for QUESTION_ANS does not pass on token types: a model would be trained without them
QUESTION_ANSWERING = Head(AutoModelForQuestionAnswering, None, "question-answering")


def load_config(model_args: ModelArguments, gate_args: GateArguments) -> PreTrainedConfig:
    """The config to train with: the model's own or `config_name`, with the flags of the command line on top.

    Raises:
        ArgumentsError: no model, no such folder, no such attention, or gate flags on a model family that has none.
        FlagError: a gate flag is out of range, or does not exist for this family.
    """
    name = model_args.config_name or model_args.model_name_or_path
    attention = model_args.attn_implementation
    known = ["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()]
    if attention is not None and attention not in known and "/" not in attention:  # owner/name: a kernel on the Hub
        raise ArgumentsError(f"--attn_implementation is {attention!r}; known: {', '.join(known)}.")
    try:
        given = {"attn_implementation": attention} if attention else {}
        config = AutoConfig.from_pretrained(name, **given, **model_args.hub_options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentsError(f"no config at {name!r} ({reason}); give a model folder or a name on the Hub.") from error
    for flag, value in gate_args.given.items():
        setattr(config, flag, value)  # configs with gates check it here
    if flags := written_flags(config, {}):
        ours = {family.stock_config: family.config for family in FAMILIES}
        if type(config) in ours:
            config = convert_config(config, ours[type(config)], flags)
        elif type(config) not in ours.values():
            families = ", ".join(stock.model_type for stock in ours)
            raise ArgumentsError(
                f"{name!r} is a {config.model_type} model and takes no gate flags ({', '.join(flags)}); "
                f"families with gates: {families}."
            )
    return config


def checkpoint_config(config: PreTrainedConfig, model_args: ModelArguments) -> PreTrainedConfig:
    """The config saved with the weights, which tells what they are; `config` if no other was given to train with."""
    if not model_args.config_name:
        return config
    return AutoConfig.from_pretrained(model_args.model_name_or_path, **model_args.hub_options)


def warn_untrained(name: str) -> None:
    logger.warning("%s has no trained head: what it predicts is random.", name)


def fit_span_head(config: PreTrainedConfig, model_args: ModelArguments, will_be_trained: bool) -> None:
    """Give `config` the two outputs of question answering: start and end."""
    if not (will_be_trained or QUESTION_ANSWERING.is_trained(checkpoint_config(config, model_args))):
        warn_untrained(model_args.model_name_or_path)
    config.num_labels = 2
    config.problem_type = None  # of a head for classes that the checkpoint may have had


def head_labels(config: PreTrainedConfig) -> tuple[str, ...]:
    """Names of the classes that the checkpoint's head tells apart; none for regression."""
    return () if config.num_labels == 1 else tuple(config.id2label[i] for i in range(config.num_labels))


def fit_head(
    config: PreTrainedConfig,
    examples: Examples,
    model_args: ModelArguments,
    do_train: bool,
    adapter: str | None = None,
):
    """Give `config` the head that the task needs, and check it against the one in the checkpoint.

    `examples` is changed where the checkpoint orders the same classes differently: its order then holds.

    Args:
        adapter: the trained adapter that brings the head; `config` is then the one saved with it.

    Raises:
        ArgumentsError: the checkpoint has a head of another size or for other classes.
    """
    name = adapter or model_args.model_name_or_path
    source = config if adapter else checkpoint_config(config, model_args)
    wanted = max(1, len(examples.labels))
    trained = CLASSIFICATION.is_trained(source)
    if trained and source.num_labels != wanted and not model_args.ignore_mismatched_sizes:
        raise ArgumentsError(
            f"the head in {name!r} has {source.num_labels} outputs "
            f"({', '.join(map(str, source.id2label.values()))}), the task needs {wanted} "
            f"({', '.join(examples.labels) or 'a score'}); "
            "give --ignore_mismatched_sizes to start with a new head, or another model or --task_name."
        )
    if not (trained or do_train or adapter):
        warn_untrained(name)
    if trained and source.num_labels == wanted and wanted > 1:
        _match_names(head_labels(source), examples, name, do_train)
    config.num_labels = wanted
    if examples.labels:
        config.id2label = dict(enumerate(examples.labels))
        config.label2id = {name: i for i, name in enumerate(examples.labels)}
    config.problem_type = "single_label_classification" if examples.labels else "regression"
    if examples.task:
        config.finetuning_task = examples.task.name


def _match_names(names: tuple[str, ...], examples: Examples, source: str, do_train: bool):
    if names == examples.labels or all(name.startswith("LABEL_") for name in names):
        return
    if set(names) == set(examples.labels):
        order = [names.index(label) for label in examples.labels]
        for split, rows in examples.splits.items():
            if "label" in rows.column_names:
                relabelled = [order[label] for label in rows["label"]]
                examples.splits[split] = rows.remove_columns("label").add_column("label", relabelled)
        examples.labels = names
        logger.info("Labels are numbered as in %s: %s.", source, ", ".join(names))
    elif do_train:
        logger.warning("The head of %s was trained on (%s); training goes on from it.", source, ", ".join(names))
    else:
        raise ArgumentsError(
            f"the head in {source!r} tells apart {', '.join(names)}, the data {', '.join(examples.labels)}; "
            "give the --task_name it was trained on, or --do_train."
        )
