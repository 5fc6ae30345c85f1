"""`bellwether validate FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bellwether.cli.client import CommandError
from bellwether.spec.validate import RulesUnavailable, validate_text


def check_file(file: Path, *, as_json: bool) -> int:
    """Write what is wrong with a file, one line per problem; return 0 when it would be accepted, else 1.

    Raises:
        CommandError: if the file cannot be read, or the rules cannot be checked here.

    """
    try:
        problems = validate_text(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not UTF-8 text ({error.reason})") from error
    except RulesUnavailable as error:
        raise CommandError(str(error)) from error
    if as_json:
        told = {"valid": not problems, "problems": [{"path": one.path, "message": one.message} for one in problems]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    elif problems:
        sys.stderr.write("".join(f"{file}: {problem}\n" for problem in problems))
    else:
        sys.stdout.write(f"{file} is valid\n")
    return 1 if problems else 0
