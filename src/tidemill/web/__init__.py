"""The loop's page: served HTML and SVG, drawn from `tidemill.project.viewing`; no build step, no network."""
