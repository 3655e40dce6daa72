"""Each user's fixed terms and names, which translations obey."""
