"""Time, power and energy of a network on a device."""
