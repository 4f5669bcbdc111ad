"""Figures, reports, the web explorer and the study."""
