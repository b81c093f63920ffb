"""Measurements on this machine: watts, times, sweeps of layers, fitted devices."""
