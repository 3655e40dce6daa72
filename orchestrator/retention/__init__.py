"""How long files are kept, and how they go: withdrawn first, deleted after, whatever fails in between."""
