import os

# gRPC reads it when imported. We fork only to run programs, and it would fill the log with a line for each.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
