"""Fine-tune and evaluate on SQuAD or your own csv/json files; without arguments, an offline example. See docs/squad.md."""

from ginets.recipes.squad import main


if __name__ == "__main__":
    main()
