"""The doctor's checks: one function each, registered by `harness.devices.doctor.check`."""
