"""The zoo as a data package: installed under the name `ginets.zoo`, one folder per model. See README.md."""
