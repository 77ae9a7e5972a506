"""Files of published 3D face models, read into one record; nothing is decided here."""
