"""Subtitles, pure: cues that can be read, the rules they are checked against, SRT and WebVTT."""
