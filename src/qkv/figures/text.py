"""Text as a picture or a terminal can show it."""


def printable(text: str) -> str:
    """The text with U+FFFD for control characters, line ends and all else that has no glyph."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
