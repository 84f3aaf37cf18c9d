"""Power and false alarms of comparisons on this machine."""
