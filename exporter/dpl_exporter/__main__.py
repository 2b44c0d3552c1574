"""`python -m dpl_exporter`, and the command dpl-exporter."""

from dpl_exporter.cli import main

if __name__ == "__main__":
    main()
