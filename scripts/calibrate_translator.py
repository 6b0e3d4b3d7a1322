"""Gives the folder of a translator the profile and the limits by which its translations are flagged unsure.

    python scripts/calibrate_translator.py FOLDER --train en=train.en de=train.de --validation en=val.en de=val.de

Training does the same on its own data; this is for models that were averaged, or trained before there were limits.
What was calibrated before is replaced, the weights stay. Each language of the model needs a file of each kind.
"""

import argparse
from pathlib import Path

from qkv.data.lines import read_lines
from qkv.systems.translator.calibration import calibrate


def main() -> None:
    """Read the files, calibrate, and tell the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("--train", "--validation"):
        parser.add_argument(name, nargs="+", required=True, type=_file, metavar="LANGUAGE=FILE")
    given = parser.parse_args()
    training = {language: read_lines(path) for language, path in given.train}
    limits = calibrate(given.folder, training, {language: [*read_lines(path)] for language, path in given.validation})
    for name, of in vars(limits).items():
        print(f"{name}: " + ", ".join(f"{language} {limit:.3f}" for language, limit in of.items()))


def _file(argument: str) -> tuple[str, Path]:
    language, _, path = argument.partition("=")
    return language, Path(path)


if __name__ == "__main__":
    main()
