"""Leaderboards: methods × tasks × seeds under one protocol, with intervals."""
