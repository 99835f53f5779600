"""``python -m fastgan`` is the ``fastgan`` command."""

from fastgan.cli import main

if __name__ == "__main__":
    main()
