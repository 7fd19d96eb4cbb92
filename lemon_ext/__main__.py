"""``python -m lemon_ext`` is the command ``lemon``."""

from .cli import main

if __name__ == "__main__":
    main()
