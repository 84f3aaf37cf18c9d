"""The machine: its identity and state, the doctor's checks, and measured peaks."""
