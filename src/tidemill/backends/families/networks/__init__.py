"""What the families of networks share: the graphs, the source model, and training with Lightning."""
