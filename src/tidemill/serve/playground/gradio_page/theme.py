"""How the page looks: the colours of the server's own page, and the fonts of the reader's machine."""

from __future__ import annotations

import gradio as gr

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace")
_TIDE = gr.themes.Color(
    name="tide", c50="#e6f2f0", c100="#cfe8e4", c200="#a5d5ce", c300="#7cc3b9", c400="#4fb3a9", c500="#1f8f86",
    c600="#0b6e69", c700="#095a56", c800="#0a4744", c900="#0b3936", c950="#062422",
)  # fmt: skip
_STONE = gr.themes.Color(
    name="shore", c50="#f7f8f7", c100="#eef2f0", c200="#dfe5e2", c300="#c5cfcb", c400="#9aaca7", c500="#74857f",
    c600="#56635f", c700="#33423f", c800="#1b2826", c900="#15201e", c950="#0e1615",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """Nothing of it is fetched from another host."""
    return gr.themes.Base(
        primary_hue=_TIDE,
        secondary_hue=_TIDE,
        neutral_hue=_STONE,
        radius_size=gr.themes.sizes.radius_lg,
        font=[gr.themes.Font(name) for name in _SANS],
        font_mono=[gr.themes.Font(name) for name in _MONO],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_shadow="none",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_900",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
    )
