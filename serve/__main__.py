"""`python -m serve`: the model plane on this machine, until SIGTERM, SIGINT or its parent's end."""

import sys

from serve.supervise import main

sys.exit(main())
