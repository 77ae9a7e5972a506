"""The networks (Sec. 4, Sec. 8.2.1) and what they are made of."""
