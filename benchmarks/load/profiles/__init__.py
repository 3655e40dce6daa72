"""Classes of locust users, one file a profile. Imported in locust's own process only."""
