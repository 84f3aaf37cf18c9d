"""The machine's measured peaks: FLOP/s by dtype, and memory bandwidth."""
