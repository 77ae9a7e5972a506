"""Files as research sets publish them and as sensors write them, one module for each."""
