"""Many runs that answer one question: arms, seeds, searches, thresholds, statistics, report."""
