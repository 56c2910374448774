"""Pictures as data: where each line, box and word stands. The templates write them down as SVG, escaped."""
