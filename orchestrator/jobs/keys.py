"""Where a job's objects lie in storage."""


def everything(job_id: str) -> str:
    """The prefix of all a job's objects."""
    return f"jobs/{job_id}"


def work(job_id: str) -> str:
    """The prefix of what is made on the way and nobody needs after the job's outcome."""
    return f"jobs/{job_id}/work"


def speech(job_id: str) -> str:
    """The media's sound for the models: 16 kHz mono s16le without a header."""
    return f"jobs/{job_id}/work/speech.pcm"


def background(job_id: str) -> str:
    """The media's sound without its voices: 48 kHz stereo FLAC. Kept with the results, which may be made anew of it."""
    return f"jobs/{job_id}/kept/background.flac"


def reference(job_id: str, speaker: str) -> str:
    """The clip a speaker's voice is cloned from, a mono WAV file. Kept as `rendition` is."""
    return f"jobs/{job_id}/kept/reference/{speaker or 'all'}.wav"


def rendition(job_id: str, language: str, segment: int) -> str:
    """One segment's speech at the mix's rate, a mono FLAC file. Kept with the results, which may be made anew of it."""
    return f"jobs/{job_id}/kept/{language}/{segment:06d}.flac"


def readings(job_id: str, language: str) -> str:
    """What the loudness meter reads over a finished dub, `dubbing.metering.Readings`. Kept as `rendition` is."""
    return f"jobs/{job_id}/kept/{language}/readings.npy"


def is_kept(key: str) -> bool:
    """Whether an object is kept with the job's results; what was made on the way is not."""
    return "/kept/" in key


def artifact(job_id: str, name: str) -> str:
    return f"jobs/{job_id}/artifacts/{name}"
