"""scikit-learn's 1,797 hand-written digits, which come with the package. See SOURCE.md."""
