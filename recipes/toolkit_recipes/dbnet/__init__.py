"""DBNet: find text on pages, receipts first (Liao et al., AAAI 2020 and TPAMI 2022)."""
