"""Transfer learning: the head alone at first, then everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.backends.families.networks.graphs import Graph

_KEEPS_STATISTICS = (nn.modules.batchnorm._BatchNorm,)  # the common class of all batch norms has no public name


class Freezing:
    """For the first `epochs` epochs all parameters but those of `graph.network.head` stay as they are.

    The backbone's batch norms then keep their statistics, too. Raises ConfigError for a network without a head.
    """

    def __init__(self, graph: Graph, epochs: int) -> None:
        self._epochs = epochs
        network = graph.network
        head = getattr(network, "head", None)
        if epochs and not isinstance(head, nn.Module):
            raise ConfigError(
                "trainer.freeze_epochs: this network has no part called head, which would learn alone",
                "call its last layer `head`, or set trainer.freeze_epochs=0",
            )
        own = {id(each) for each in head.parameters()} if isinstance(head, nn.Module) else set()
        inside = set(head.modules()) if isinstance(head, nn.Module) else set()
        # what is frozen for good by the network itself is left so
        self._backbone = [each for each in graph.parameters() if each.requires_grad and id(each) not in own]
        self._norms = [
            each for each in graph.modules() if isinstance(each, _KEEPS_STATISTICS) and each not in inside
        ]  # fmt: skip

    def enter(self, epoch: int) -> None:
        """Before the steps of `epoch`, counted from 0, when the graph has been set to train."""
        frozen = epoch < self._epochs
        for parameter in self._backbone:
            parameter.requires_grad_(not frozen)
        if frozen:
            for norm in self._norms:
                norm.eval()

    def leave(self) -> None:
        """After the training: everything may learn again."""
        for parameter in self._backbone:
            parameter.requires_grad_(True)
