"""What a terminal shows in the end of what was written to it."""

import re

PIECE = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?25[hl]|(\r)|(\n)|([^\x1b\r\n]+)")


def screen(written):
    """The lines that are left, after all that was replaced.

    Args:
        written: with the codes that `rich` uses: up, erase this line, back to its begin.
    """
    lines, row, column = [""], 0, 0
    position = 0
    while position < len(written):
        piece = PIECE.match(written, position)
        assert piece, written[position : position + 20]
        position = piece.end()
        count, code, back, down, text = piece.groups()
        if code == "A":
            row -= int(count or 1)
        elif code == "K":
            lines[row] = ""
        elif back:
            column = 0
        elif down:
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        else:
            assert code in (None, "m"), code
    return [line.rstrip() for line in lines]
