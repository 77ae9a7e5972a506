"""torch.compile where it works."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)


class CompiledWherePossible(nn.Module):
    """Runs a network compiled, or as it is where the compiler fails at the first call.

    Compilers are missing, too old or give up in ways that only a call shows. Whatever they raise
    is logged; an error of the network itself is raised again when it runs as it is. The network
    keeps its parameters and its own `state_dict`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._compiled: Any = torch.compile(network)
        self._tried = False

    def forward(self, *given: Any) -> Any:
        """Call the network."""
        if self._compiled is not None and not self._tried:
            try:
                return self._compiled(*given)
            except Exception as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                log.warning("torch.compile: not used; %s: %s", type(error).__name__, reason)
                self._compiled = None
            finally:
                self._tried = True
        return (self._compiled or self.network)(*given)
