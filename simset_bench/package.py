"""The version of the installed package, and the folder that it lies in."""

from pathlib import Path

VERSION = "0.1.0"
FOLDER = Path(__file__).parent
