"""Values and pure functions that everything else stands on; numpy and OpenCV only, no files, no Qt.

Conventions, kept in every package:

- Arrays are ``(z, y, x)``, slices ``(y, x)``; a colour is a last axis of 3 (RGB).
- Points are ``(x, y)`` in pixels. Pixel centres lie on integers, so an image of n pixels reaches from -0.5 to n - 0.5.
- Boxes are half-open: the upper limits are not part of them.
- Lengths are millimetres. Patient space is LPS (x to the left, y to posterior, z to superior) everywhere inside;
  files in other frames are converted at the door.
- A photo is a volume with one slice.
- A name that could mean two things ends in ``_mm``, ``_px``, ``_zyx`` or ``_xy``.
- Prompt codes are those of Segment Anything: -1 padding, 0 background, 1 foreground, 2 and 3 the corners of a box.
"""
