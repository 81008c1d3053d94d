"""Generated receipts: pages to learn text detection from, with exact outlines of their texts."""
