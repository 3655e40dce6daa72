"""Buying credits through Polar.sh: offers, checkouts, webhooks, reconciliation."""
