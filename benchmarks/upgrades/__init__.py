"""Rolling upgrades under load: what users of the API and callers of the models notice of each.

python -m benchmarks.upgrades [--seconds 20] [--plane api,workers,models]
"""
