"""A completed job's transcript as a document with revisions, and making its files anew from what was changed."""
