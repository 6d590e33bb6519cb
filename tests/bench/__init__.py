"""`make bench`: speed and memory as ratios within one run, so that the machine cancels out."""
