"""Jobs: asked for, worked through as durable workflows, followed, delivered."""
