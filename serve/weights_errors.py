"""What can go wrong between a catalogue entry and a usable folder of weights."""


class WeightsError(Exception):
    """Base: the message says what happened, to which weights, and what to do."""


class CatalogueError(WeightsError):
    """catalogue.toml says something that cannot be meant."""


class LicenceRefusedError(WeightsError):
    """The weights are not cleared for paid use and nobody opted in by name."""


class FetchError(WeightsError):
    """A source could not be reached or does not have what the catalogue names."""


class VerificationError(WeightsError):
    """What was fetched is not what was promised; it has been removed."""


class ConversionError(WeightsError):
    """Fetched weights could not be turned into what the model plane loads."""


class VoiceImportError(ConversionError):
    """A file given as a Piper voice is not one that can be imported."""


class StorageError(WeightsError):
    """The weights folder cannot be written: full, or not ours."""
