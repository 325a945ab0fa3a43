"""Where a notebook is open, as far as a page on this machine is concerned."""

import os
import sys

# Set where the browser is on another machine, which does not reach 127.0.0.1 here.
REMOTE = ("JUPYTERHUB_USER", "BINDER_SERVICE_HOST", "COLAB_RELEASE_TAG", "SSH_CONNECTION")


def shows_pages() -> bool:
    """Whether a page that this machine serves can be shown inside the notebook: in JupyterLab on the same machine.

    jupyter_server names the notebook in JPY_SESSION_NAME. Others that run kernels (VS Code, nbconvert, nbval) don't, or
    are named in `REMOTE`; they get a link.
    """
    return (
        "JPY_SESSION_NAME" in os.environ and not any(map(os.environ.get, REMOTE)) and "google.colab" not in sys.modules
    )
