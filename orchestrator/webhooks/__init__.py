"""Webhooks of users: their programs hear of jobs by signed requests, each delivered until it is taken or given up."""
