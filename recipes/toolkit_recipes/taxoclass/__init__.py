"""TaxoClass: put documents into a taxonomy from the class names alone (Shen et al., NAACL 2021)."""
