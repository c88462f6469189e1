"""Fine-tune and evaluate on GLUE or your own csv/json files; without arguments, an offline example. See docs/glue.md."""

from ginets.recipes.glue import main


if __name__ == "__main__":
    main()
