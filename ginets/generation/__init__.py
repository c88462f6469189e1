"""Text from prompts: batches, beams, files that a killed run continues, conversations."""
