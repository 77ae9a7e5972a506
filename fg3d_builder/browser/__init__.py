"""The review page: a build in a browser on the same machine, one capture after the other."""
