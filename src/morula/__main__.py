"""`python -m morula` is the command `morula`."""

from morula.cli.main import main

if __name__ == "__main__":
    main()
