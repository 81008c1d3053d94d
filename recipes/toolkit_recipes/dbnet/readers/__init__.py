"""Readers of annotated pages: ICDAR 2015, SROIE, UFO json, Total-Text and CTW1500."""
