"""Training and data of federated learning; imports NumPy, so nothing imports it before a study."""

import os

# One thread for products of matrices: on a busy device more of them wait for one another by
# spinning, which took ten times as long. Read when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
