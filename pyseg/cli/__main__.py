"""``python -m pyseg.cli``, for where the ``pyseg`` script is not on the PATH."""

from . import main

if __name__ == "__main__":
    main()
