"""Pure planning of a dub: windows of hearing, segments, fit, mix. No input or output, no model, no database."""
