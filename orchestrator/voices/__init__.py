"""Voices: the library, and short previews that cost a credit once."""
