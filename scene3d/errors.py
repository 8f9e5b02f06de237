"""The one exception that means: the user gave something we cannot use."""


class InputError(ValueError):
    """Bad input from outside: a file, an argument, a configuration value.

    The message is one line that names the thing, the value and the remedy. The command
    line prints it without a traceback and exits with code 2.
    """
