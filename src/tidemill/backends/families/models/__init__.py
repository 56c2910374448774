"""Architectures, one a file: networks that give logits and an embedding."""
