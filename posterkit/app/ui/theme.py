"""How the page looks: quiet paper and ink, one accent, the shipped Manrope; light and dark."""

# pyright: standard
from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from posterkit.typeset.fonts import FONTS

FONT_FILES = {"medium.ttf": FONTS / "manrope/Manrope-Medium.ttf", "bold.ttf": FONTS / "manrope/Manrope-ExtraBold.ttf"}
_HERE = Path(__file__).parent


def page_theme() -> Any:
    """Gradio's base theme in the page's colours, which `page.css` holds as variables."""
    theme = gr.themes.Base(
        font=("Manrope", "system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"),
        radius_size=gr.themes.sizes.radius_sm, spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
    )  # fmt: skip
    ink, soft, line, ground, panel, accent = (
        f"var(--pk-{name})" for name in ("ink", "soft", "line", "ground", "panel", "accent")
    )
    values = {
        "body_background_fill": ground, "body_text_color": ink, "body_text_color_subdued": soft,
        "background_fill_primary": panel, "background_fill_secondary": ground, "border_color_primary": line,
        "border_color_accent": accent, "color_accent": accent, "color_accent_soft": "var(--pk-tint)",
        "block_background_fill": "transparent", "block_border_width": "0px", "block_shadow": "none",
        "block_padding": "0px", "block_label_background_fill": "transparent", "block_label_text_color": soft,
        "block_label_border_width": "0px", "block_label_text_weight": "500", "block_title_text_color": soft,
        "block_title_text_weight": "500", "block_title_background_fill": "transparent",
        "block_info_text_color": soft, "panel_background_fill": "transparent",
        "input_background_fill": panel, "input_background_fill_focus": panel, "input_border_color": "var(--pk-edge)",
        "input_border_color_focus": accent, "input_border_width": "1px", "input_shadow": "none",
        "input_shadow_focus": "none", "input_placeholder_color": "var(--pk-hint)",
        "checkbox_background_color": panel, "checkbox_background_color_selected": accent,
        "checkbox_border_color": "var(--pk-edge)", "checkbox_border_color_selected": accent,
        "checkbox_label_background_fill": "transparent", "checkbox_label_background_fill_hover": "var(--pk-tint)",
        "checkbox_label_background_fill_selected": "var(--pk-tint)", "checkbox_label_border_width": "1px",
        "checkbox_label_border_color": "var(--pk-edge)", "checkbox_label_border_color_selected": accent,
        "checkbox_label_text_color": ink, "checkbox_label_text_color_selected": ink, "checkbox_label_shadow": "none",
        "button_primary_background_fill": accent, "button_primary_background_fill_hover": "var(--pk-accent-deep)",
        "button_primary_text_color": "var(--pk-on-accent)", "button_primary_text_color_hover": "var(--pk-on-accent)",
        "button_primary_border_color": accent, "button_primary_border_color_hover": "var(--pk-accent-deep)",
        "button_secondary_background_fill": "transparent", "button_secondary_background_fill_hover": "var(--pk-tint)",
        "button_secondary_text_color": ink, "button_secondary_border_color": "var(--pk-edge)",
        "button_border_width": "1px", "button_primary_shadow": "none", "button_secondary_shadow": "none",
        "button_large_text_weight": "700", "button_medium_text_weight": "500", "accordion_text_color": ink,
        "table_text_color": ink, "slider_color": accent, "loader_color": accent, "error_background_fill": panel,
        "error_border_color": accent, "error_text_color": ink, "error_icon_color": accent,
        "link_text_color": ink, "link_text_color_hover": accent,
    }  # fmt: skip
    dark = {f"{name}_dark": value for name, value in values.items() if hasattr(theme, f"{name}_dark")}
    return theme.set(**values, **dark)


def page_head() -> str:
    """What goes into the page's head: its style sheet, and keys and switches that need no server."""
    css, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return f"<style>{css}</style><script>{script}</script>"
