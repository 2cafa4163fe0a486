"""``python -m layerdropback`` is ``ldb``."""

from .cli import main

if __name__ == "__main__":
    main()
