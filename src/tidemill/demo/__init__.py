"""The loop shown once, on real handwritten digits: `tidemill demo`."""
