"""`python -m server.dev`, which is what `make run` does."""

import os
import sys

from server.dev.errors import StackError
from server.dev.plan import Plan
from server.dev.stack import run
from server.settings import SettingsError


def main(kind: type[Plan] = Plan) -> int:
    """Exit code 0 when it was asked to stop, 1 when it could not start or go on. Tests have a `kind` of their own."""
    try:
        run(kind.of(os.environ))
    except (SettingsError, StackError) as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Before the stack takes Ctrl-C for a wish of its own there is nothing to stop but Redis, and that is done.
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
