"""How often anybody may ask for what, counted by all processes together."""
