"""Uploaded files: taken in, probed, found again; and what ffmpeg does with them."""
