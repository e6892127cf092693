"""A QR code as an SVG data address, drawn with the library that writes our PDFs."""

from __future__ import annotations

import base64


def qr_svg_data_uri(text: str, module_size: int = 5, quiet_zone: int = 4) -> str:
    """An ``<img src>`` for the text; black modules on white, with the quiet zone readers need."""
    from reportlab.graphics.barcode.qrencoder import QRCode, QRErrorCorrectLevel

    code = QRCode(None, QRErrorCorrectLevel.M)
    code.addData(text)
    code.make()
    count = code.getModuleCount()
    side = (count + 2 * quiet_zone) * module_size
    square = f"h{module_size}v{module_size}h-{module_size}z"
    squares = "".join(
        f"M{(column + quiet_zone) * module_size} {(row + quiet_zone) * module_size}{square}"
        for row in range(count)
        for column in range(count)
        if code.isDark(row, column)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}">'
        f'<rect width="{side}" height="{side}" fill="#fff"/><path d="{squares}"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
