"""Measures of text detection: ICDAR by overlap, CLEval by characters, recall by height."""
