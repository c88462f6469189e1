"""A grid of training runs: each cell is a process, each finished one a file, and nothing is computed twice."""
